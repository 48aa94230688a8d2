"""The looks of secrets, at any place: addresses, keys of vendors, numbers, random text.

Every pattern matches a piece of fixed or bounded length: so its time grows in proportion to the text. A test measures
the patterns of all modules of this package.
"""

from __future__ import annotations

import re
from typing import Final

_SUSPECT: Final = re.compile(
    r"[^A-Za-z0-9/._~\-]|(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]{16}|(?<![A-Za-z0-9])[A-Za-z0-9]{15}|(?<!\d)\d{13}"
    r"|\d{4}[._\-]\d{4}|\d{3}-\d\d-\d{4}|eyJ"
)
"""Every secret below contains a match of this pattern; most paths contain none."""
_WORDS: Final = re.compile(r"[a-z]{1,24}(?:[\-_.][a-z]{1,24})*")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

# Prefixes of vendors' keys that nothing else has; and prefixes that are words too: a digit must follow these.
_VENDORS: Final = (
    r"[srp]k[_\-](?:live|test|prod|proj|ant|or|svcacct)|whsec|gh[opsur]|github_pat|gl(?:pat|dt|rt|cbt|ptt|ft|imt|soat)"
    r"|xox[abceoprs]|xapp|xwfp|do[por]_v1|shp(?:at|ca|pa|ss)|lin_(?:api|oauth)|sq0[a-z]{3}|ya29|apimetry_[awr]|dckr_pat"
    r"|hv[sbr]|sntr[ysu]+|pmak|nrak|figdr?|tskey|xkeysib|sbp|pscale_(?:tkn|oauth|pw)|bkua|ccipat|pul|rubygems|hrku"
    r"|gocspx|npm_token|atlasv1|age-secret-key|doppler|dp\.pt|ghv1|github_app"
)
_VENDORS_OR_WORDS: Final = "[srp]k|key|live|test|npm|pypi|hf|rnd|re|gsk|r8|ntn|secret|pplx|pat|api|rpa|fo1|oy2|sec"
_SHAPES: Final = re.compile(
    rf"""
      eyJ[A-Za-z0-9_\-+]{{5}}                                            # JSON in base64: a JWT, whole or half
    | (?<![A-Za-z0-9])v[1-4]\.(?:local|public)\.[A-Za-z0-9_\-]{{8}}      # PASETO
    | (?<![A-Za-z0-9])(?i:{_VENDORS})[._\-][A-Za-z0-9_\-]{{16}}
    | (?<![A-Za-z0-9])(?:{_VENDORS_OR_WORDS})[._\-](?=[A-Za-z]{{0,24}}\d)[A-Za-z0-9]{{16}}
    | (?<![A-Za-z0-9])SG\.[A-Za-z0-9_\-]{{16}} | AIza[A-Za-z0-9_\-]{{30}} | ATATT3[A-Za-z0-9_\-=]{{16}}
    | (?<![A-Za-z0-9])A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{{16}} | (?<![A-Za-z0-9])(?:LTAI|AKID)[A-Za-z0-9]{{12}}
    | (?<![0-9a-fA-F])[0-9a-fA-F]{{32}}                                  # long hex: sessions, digests
    | (?<![0-9\-])\d{{3}}-\d\d-\d{{4}}(?![0-9\-])                        # a social security number
    | (?<!\d)\d{{4}}([ _.\-+])\d{{4}}\1\d{{4}}\1\d{{4}}(?!\d)            # a card number in fours
    | (?<![A-Za-z0-9])\+[ ]?\(?\d(?:[ ().\-]{{0,2}}\d){{7,14}}(?![A-Za-z0-9])  # a telephone number
    """,
    re.VERBOSE,
)
_DIGITS: Final = re.compile(
    r"(?<!\d)(?:\d{13,19}|\d{4}([ _.\-+])\d{6}\1\d{4,5}|\d{4}(?:([ _.\-+])\d{4}){3}\2\d{1,3})(?!\d)"
)
# First digits of payment card numbers, by length.
_CARDS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|3(?:0[0-59]|[689]\d)\d{11}|3[47]\d{13}|(?:2131|1800)\d{11}"
    r"|(?:[2356]\d|8[12])\d{14}|(?:9792|9860)\d{12}|(?:5[0678]|6\d)\d{15,17}"
)
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2}\d\d(?:[ +\-]?[A-Za-z0-9]){11,30})(?![A-Za-z0-9])")
_IBAN_BY_LOOK: Final = re.compile(r"[A-Z]{2}\d\d(?=[0-9A-Z]{0,22}\d{8})[0-9A-Z]{11,30}")

_RUN: Final = re.compile(r"[A-Za-z0-9_\-+=]{24,}")
_PART: Final = re.compile(r"[A-Za-z0-9]{8,}")
_LETTERS_OR_DIGITS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_KNOWN_ID: Final = re.compile(r"[0-9a-f]{24}|01[0-9A-HJKMNP-TV-Z]{24}|01[0-9a-hjkmnp-tv-z]{24}")
"""Names of records that look random and open nothing: MongoDB's ObjectId, ULID and TypeID."""

_DOMAIN: Final = re.compile(r"[^\s@,;:/?#&=()'\"<>]{1,255}")
_FILES: Final = frozenset(
    ("png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "bmp", "css", "js", "mjs", "cjs", "ts", "tsx", "jsx")
) | {"html", "htm", "xml", "json", "yaml", "yml", "txt", "pdf", "csv"}


def is_suspect(text: str) -> bool:
    """Return whether a text may hold a secret: a quick check. Words, short names and UUIDs hold none."""
    return _SUSPECT.search(text) is not None and not is_words(text) and not is_uuid(text)


def is_words(text: str) -> bool:
    """Return whether a text is one or more words in lower case: ``how-we-built-it``."""
    return _WORDS.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID. A UUID names a resource far more often than it gives access."""
    return len(text) == 36 and _UUID.fullmatch(text) is not None


def is_known_id(text: str) -> bool:
    """Return whether a text is a usual id of a record: a UUID, an ObjectId, a ULID, a number of up to 19 digits."""
    return is_uuid(text) or _KNOWN_ID.fullmatch(text) is not None or (text.isdecimal() and len(text) <= 19)


def holds_secret(text: str) -> bool:
    """Return whether a text, without percent-encoding, holds a text that looks like a secret.

    E-mail addresses, JWTs and PASETOs, vendors' keys, long hex, random text of 24 characters or more, numbers of
    bank accounts, cards and telephones, and a user with a password.
    """
    if "-" in text:
        text = _UUID.sub("", text)
    return (
        ("@" in text and _has_address(text))
        or _SHAPES.search(text) is not None
        or any(_is_card(match[0]) for match in _DIGITS.finditer(text))
        or any(_is_iban(match[1]) for match in _IBAN.finditer(text))
        or any(_is_random(run) for run in _RUN.findall(text))
    )


def _has_address(text: str) -> bool:
    """Return whether an ``@`` stands between a name and a domain, or after a user's password.

    ``logo@2x.png`` and ``pkg@1.2.3`` have no domain.
    """
    before, *rest = text.split("@")
    for after in rest:
        if before and (before.find(":") > 0 or _is_domain(after)):
            return True
        before = after
    return False


def _is_domain(text: str) -> bool:
    if text.startswith("["):
        return True
    match = _DOMAIN.match(text)
    labels = match[0].rstrip(".").split(".") if match else []
    if len(labels) == 4 and all(label.isdecimal() for label in labels):
        return True
    if labels and labels[-1].lower() in _FILES:
        labels.pop()
    top = labels[-1] if len(labels) > 1 and all(labels) else ""
    return top.startswith("xn--") or (len(top) > 1 and top.isalpha())


def _is_card(number: str) -> bool:
    """Return whether a number is a card's, by its issuer, length and check digit (ISO/IEC 7812-1, annex B: Luhn)."""
    digits = "".join(filter(str.isdecimal, number))
    if _CARDS.fullmatch(digits) is None:
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Return whether a text is an IBAN: by its check digits (ISO 13616), or by its usual spelling."""
    if _IBAN_BY_LOOK.fullmatch(text):
        return True
    compact = "".join(filter(str.isalnum, text)).upper()
    if sum(map(str.isdigit, compact)) < 8 or not compact.isascii():
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _is_random(run: str) -> bool:
    """Return whether a text is generated: letters, digits and cases alternate faster than in words."""
    characters = turns = 0
    for part in _PART.findall(run):
        pieces = len(_LETTERS_OR_DIGITS.findall(part))
        if pieces < 3 or _KNOWN_ID.fullmatch(part):
            continue
        # Words in camel case have four letters or more; base32 has a digit among three to four letters.
        if len(part) >= 16 and pieces >= 5 and (part.islower() or part.isupper()):
            return True
        characters += len(part)
        turns += pieces
    return characters >= 16 and characters < 3 * turns
