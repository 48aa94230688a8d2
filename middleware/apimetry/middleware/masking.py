"""Mask secrets in a path and in the names of a query: by their looks, and by the name before them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from apimetry.middleware.secret_patterns import holds_secret, is_suspect, is_uuid, is_words
from apimetry.middleware.telling_names import Doubt, find_doubt, is_ordinary

MASK: Final = "***"
MAX_CACHED_CHARACTERS: Final = 256
"""Longer texts are masked anew each time: 512 paths and 512 folders of this length take 1.1 MB at most."""
_MAX_PLAIN: Final = 12
"""Up to so many letters and digits are no secret by themselves: the shortest card number has 13."""
_MAX_DECODINGS: Final = 3
_SHORT: Final = re.compile("(?:/[A-Za-z0-9_~]{0,12})*")
_SAFE: Final = "/\\!$&'()*+,;=:@?#[]~"
_ENCODED: Final = re.compile("%[0-9A-Fa-f]{2}")
_SLASH: Final = re.compile(r"([/\\])")
_PARAMETER: Final = re.compile(r"([;?&#])")
_ASSIGNMENT: Final = re.compile(r"([=:(,|])")
_SEPARATOR: Final = re.compile(r"[\-_.~]")
_NUMBERED: Final = re.compile(r"[A-Za-z]{1,15}\d{0,2}|\d{1,5}")


def mask_path(path: str) -> str:
    """Return a path with its secrets, and its possible secrets, masked.

    A text is masked by its looks: see `secret_patterns.holds_secret`; or by the telling name before it, in the
    previous or in the same segment (``token=…``): see `telling_names`. The values of path parameters
    (``;jsessionid=…``) are always masked. A UUID stays, except after a telling name. Percent-encoding is undone for
    all checks; a segment without a secret stays unchanged.
    """
    folder, _, name = path.rpartition("/")
    if len(folder) > MAX_CACHED_CHARACTERS or len(name) > MAX_CACHED_CHARACTERS:
        return _mask_segments(path)
    # Most paths: a short or harmless name in a cached folder.
    if _is_plain(folder) and ((len(name) <= _MAX_PLAIN and (name.isalnum() or not name)) or _is_harmless(name)):
        return path
    return _mask_cached(path)


@lru_cache(maxsize=512)
def _is_plain(folder: str) -> bool:
    """Return whether a path has no secret and no name that makes the next segment one."""
    names = folder.split("/")
    if _SHORT.fullmatch(folder) is None and not all(map(_is_harmless, names)):
        return False
    return not any(find_doubt(name) for name in names if not name.isdecimal())


def _is_harmless(name: str) -> bool:
    """Return whether a segment is certainly no secret by itself. A doubtful segment gets a closer check."""
    if is_words(name) or is_uuid(name):
        return True
    return not (is_suspect(name) or _names_its_secret(name))


def _mask_segments(path: str) -> str:
    masked, doubt = [], Doubt.NONE
    for segment in path.split("/"):
        is_encoded = "%" in segment or "\\" in segment
        text, doubt = _mask_encoded(segment, doubt) if is_encoded else _mask_segment(segment, doubt)
        masked.append(text)
    return "/".join(masked)


_mask_cached = lru_cache(maxsize=512)(_mask_segments)


def _mask_encoded(segment: str, doubt: Doubt) -> tuple[str, Doubt]:
    """Mask an encoded segment, which may contain slashes."""
    text = decode(segment)
    pieces = _SLASH.split(text)
    # Base64 has slashes: check the whole text too. A text that is encoded four times is a secret.
    if _ENCODED.search(text) or (
        len(pieces) > 1
        and (holds_secret(text.replace("/", "+")) or (doubt >= Doubt.LOOSE and not is_ordinary(text, doubt)))
    ):
        return MASK, _after_secret(doubt)
    for index in range(0, len(pieces), 2):
        pieces[index], doubt = _mask_segment(pieces[index], doubt)
    masked = "".join(pieces)
    return segment if masked == text else quote(masked, safe=_SAFE), doubt


def _after_secret(doubt: Doubt) -> Doubt:
    return doubt if doubt == Doubt.CODE else min(doubt, Doubt.LATER)


def _mask_segment(segment: str, doubt: Doubt) -> tuple[str, Doubt]:
    """Return the masked segment, and the doubt about the next one."""
    if not segment:
        return segment, doubt  # a doubled slash
    if segment == MASK or (is_suspect(segment) and holds_secret(segment)):
        return MASK, _after_secret(doubt)
    name, *parameters = _PARAMETER.split(segment)
    own = find_doubt(name)
    is_secret = doubt and (not is_ordinary(name, doubt) or (parameters and not own and doubt >= Doubt.LOOSE))
    if is_secret or _names_its_secret(name):
        return MASK, _after_secret(doubt)
    masked = [_mask_values(name)]
    for index in range(0, len(parameters), 2):
        separator, parameter = parameters[index : index + 2]
        masked += separator, _mask_parameter(parameter, separator, max(own, doubt))
    is_word = not name.isdecimal() and doubt >= Doubt.STRICT
    return "".join(masked), max(own, doubt if is_word else _after_secret(doubt))


def _names_its_secret(segment: str) -> bool:
    """Return whether a segment is a telling name and a secret in one: ``token-x1y2z3``, ``otp_123456``."""
    name, *rest = _SEPARATOR.split(segment, 1)
    if not rest or find_doubt(name) < Doubt.STRICT:
        return False
    return not all(not piece or _NUMBERED.fullmatch(piece) for piece in _SEPARATOR.split(rest[0]))


def _mask_values(segment: str) -> str:
    """Mask the text after a telling name in the same segment: ``token=…``, ``otp:…``, ``Tokens('…')``."""
    pieces = _ASSIGNMENT.split(segment)
    for index in range(1, len(pieces), 2):
        if doubt := find_doubt(pieces[index - 1]):
            value = "".join(pieces[index + 1 :])
            is_plain = pieces[index] != "=" and is_ordinary(value.strip("()'\""), doubt)
            return segment if is_plain or not value else "".join(pieces[: index + 1]) + MASK
    return segment


def _mask_parameter(parameter: str, separator: str, doubt: Doubt) -> str:
    """Mask a value after ``;``, ``?``, ``&`` or ``#``. After ``?``, a text without ``=`` is masked."""
    name, equals, value = parameter.partition("=")
    if equals:
        return f"{name}={MASK}" if value else parameter
    if parameter and (separator == "?" or (doubt and not is_ordinary(parameter, doubt))):
        return MASK
    return _mask_values(parameter)


def decode(text: str) -> str:
    """Undo percent-encoding, also up to three layers of it."""
    for _ in range(_MAX_DECODINGS):
        if "%" not in text:
            break
        text = unquote(text)
    return text


def mask_query(query: str) -> str:
    """Keep the parameters' names and mask their values; a name that looks like a secret is masked too."""
    parts = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        if "%" in name and "=" in (text := decode(name)):
            name, equals = quote(text.partition("=")[0], safe=_SAFE), "="  # the rest may be a value
        # Without "=" the whole part may be a value (a bare token).
        parts.append(f"{_mask_name(name)}={MASK}" if equals else MASK if part else "")
    return "&".join(parts)


def _mask_name(name: str) -> str:
    if len(name) <= _MAX_PLAIN and name.isalnum():
        return name
    return _mask_name_cached(name) if len(name) <= _MAX_CACHED_NAME else _mask_segments(name)


_mask_name_cached = lru_cache(maxsize=512)(_mask_segments)
_MAX_CACHED_NAME: Final = 64
