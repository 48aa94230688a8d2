"""What leaves the process of a URL, an address and a header: the least that is useful, unless asked for more."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import Final, TypeAlias

MASK: Final = "***"
MAX_URL_CHARACTERS: Final = 2048
_HASH_HEX_DIGITS: Final = 16

# What no secret looks like, short names; and what the patterns of secrets have in common.
_MAX_PLAIN: Final = 14
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~]{0,14})*")
_SUSPECT: Final = re.compile(r"[@%;+]|\d-\d|(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]{15,}|eyJ")
_SECRETS: Final = re.compile(
    r"""
      [^/@\s]{1,256}(?:@|%40)(?!\d+x\.)[^/@\s]{1,256}\.[^/@\s]+  # an e-mail address; user:password@host
    | eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*   # a JSON Web Token
    | \b(?:sk|pk|rk|whsec|gh[opsur]|github_pat|glpat|xox[abeprs]|xapp|npm|pypi|hf|dop_v1|shp(?:at|ca|pa|ss)
        |lin_api|rnd|sq0[a-z]{3}|ya29|key|live|test|apimetry_[awr])[._\-][A-Za-z0-9_\-]{16,}  # vendors' keys
    | \bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,} | \bAIza[A-Za-z0-9_\-]{30,} | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | (?<![A-Za-z0-9])[0-9a-fA-F]{32,}(?![A-Za-z0-9])           # long hex: sessions, digests
    | (?<![A-Za-z0-9_\-])(?=[A-Za-z_\-]*[0-9])(?=[^/]*[A-Z])(?=[^/]*[a-z])[A-Za-z0-9_\-]{24,}  # random base64
    | (?<![A-Za-z0-9])[A-Z]{2}\d{2}(?=[0-9A-Z]*\d{8})[0-9A-Z]{11,30}(?![A-Za-z0-9])  # an IBAN
    | (?<![0-9\-])(?:\d{4}-\d{4}-\d{4}-\d{4}|\d{3}-\d{2}-\d{4})(?![0-9\-])  # card and social security numbers
    | (?<![A-Za-z0-9])(?:\+|%2[Bb])\d{8,15}(?![A-Za-z0-9])      # a telephone number
    | (?<=;)(?P<parameter>[^/=;]+=)[^/;]+                       # a path's own parameters: ;jsessionid=…
    """,
    re.VERBOSE,
)
_SECRET_NAMES: Final = frozenset(
    (
        *("token", "access-token", "refresh-token", "csrf", "jwt", "oauth", "bearer", "otp", "totp", "magic"),
        *("magic-link", "password", "passwd", "pwd", "secret", "api-key", "apikey", "session", "sessionid", "sid"),
        *("reset", "reset-password", "password-reset", "forgot-password", "verify", "verify-email", "verification"),
        *(
            "confirm",
            "confirm-email",
            "confirmation",
            "activate",
            "activation",
            "invite",
            "invitation",
            "unsubscribe",
        ),
        *("signature", "sig", "credential", "auth-code", "one-time"),
    )
)
_OPAQUE: Final = re.compile(
    r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_\-.~=+%]{6,}|[0-9]{6}|[A-Za-z0-9_\-.~=+%]{24,}"
)


def mask_path(path: str) -> str:
    """Mask what looks like a secret in a path, by its pattern or by the name of the segment before it.

    Patterns: e-mail addresses, JWTs, vendors' keys, long hex, random base64, numbers of accounts, cards and
    telephones, and the values of path parameters. After a segment such as ``reset-password`` or ``token``, a value
    of letters and digits, six digits, or anything long. A UUID elsewhere stays: it names a resource far more often
    than it opens one.
    """
    folder, _, name = path.rpartition("/")
    # Most paths: a short name in a folder that has been seen before.
    if name.isalnum() and len(name) <= _MAX_PLAIN and _is_plain(folder):
        return path
    return _search_path(path)


@lru_cache(maxsize=512)
def _is_plain(folder: str) -> bool:
    """Tell whether nothing in a path is a secret, nor says that what follows is one."""
    return _PLAIN.fullmatch(folder) is not None and _SECRET_NAMES.isdisjoint(_names(folder))


@lru_cache(maxsize=512)
def _search_path(path: str) -> str:
    if _SUSPECT.search(path) is not None:
        path = _SECRETS.sub(_mask_match, path)
    names = _names(path)
    if not _SECRET_NAMES.isdisjoint(names):
        segments = path.split("/")
        for index in range(1, len(segments)):
            if names[index - 1] in _SECRET_NAMES and _OPAQUE.fullmatch(segments[index]):
                segments[index] = MASK
        path = "/".join(segments)
    return path


def _names(path: str) -> list[str]:
    return path.lower().replace("_", "-").split("/")


def _mask_match(match: re.Match[str]) -> str:
    return f"{match['parameter'] or ''}{MASK}"


def mask_query(query: str) -> str:
    """Keep the parameters' names and mask their values; a name that looks like a secret is masked too."""
    parts = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        # Without "=" the whole part may be a value (a bare token).
        parts.append(f"{mask_path(name)}={MASK}" if equals else MASK if part else "")
    return "&".join(parts)


def public_url(path: str, query: str, mode: str) -> str:
    """Return the URL as it may leave the process, for mode ``path``, ``masked`` or ``full``."""
    if mode == "full":
        url = f"{path}?{query}" if query else path
    else:
        if len(path) > 2 * MAX_URL_CHARACTERS:
            # What is cut off later need not be searched, and a cut must not leave half a secret.
            path = path[: 2 * MAX_URL_CHARACTERS].rpartition("/")[0]
        url = mask_path(path)
        if query and mode == "masked":
            url = f"{url}?{mask_query(query)}"
    return url if len(url) <= MAX_URL_CHARACTERS else url[:MAX_URL_CHARACTERS]


def public_address(address: str, mode: str) -> str:
    """Return the address as it may leave the process: ``off``, ``truncated`` to /24 and /48, or ``full``."""
    if mode == "off" or not address:
        return ""
    if mode == "full":
        return address
    parsed = _parse_address(address)
    if parsed is None:
        return ""  # a Unix socket's name is no address
    prefix = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)


Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@lru_cache(maxsize=16)
def parse_networks(entries: tuple[str, ...]) -> tuple[Network, ...]:
    """Read addresses and networks; ``unix`` (a peer without an address) is none and is left out.

    Raises:
        ValueError: an entry is neither.
    """
    return tuple(ipaddress.ip_network(entry, strict=False) for entry in entries if entry != "unix")


def resolve_client(peer: str, forwarded_for: str, forwarded: str, trusted: tuple[str, ...]) -> str:
    """Return the client's address behind trusted proxies: the last hop that is none of them.

    Only a trusted peer is believed, and of what it says only the hops that it or another trusted one has added.
    X-Forwarded-For wins over Forwarded (RFC 7239): a proxy that sets Forwarded alone must remove the other.
    """
    hops = forwarded_for.split(",") if forwarded_for.strip(", ") else _FORWARDED_HOP.findall(forwarded)
    address = peer
    while hops and _is_trusted(address, trusted):
        hop = _HOP_PORT.sub(r"\1\2", hops.pop().strip().strip('"'))
        if not hop:
            continue  # an empty element of a list is none (RFC 9110, 5.6.1)
        if _parse_address(hop) is None:
            break  # "unknown", an obfuscated name, or garbage: what stands before it is worth no more
        address = hop
    return address


_FORWARDED_HOP: Final = re.compile(r'(?i)(?:^|[,;\s])for\s*=\s*("[^"]*"|[^,;\s]+)')
_HOP_PORT: Final = re.compile(r"^(?:\[([^\]]*)\](?::\d+)?|([0-9.]+):\d+)$")


def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    parsed = _parse_address(address)
    if parsed is None:
        return "unix" in trusted and not address.strip()
    return any(parsed in network for network in parse_networks(trusted) if network.version == parsed.version)


def _parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


@lru_cache(maxsize=1024)
def hash_consumer(value: bytes, write_key: str) -> str:
    """Hash a header's value to a consumer id: 16 hex digits, the same in every process with the same key.

    Keyed BLAKE2b with the write key as its key: without the write key nobody can test guesses against stored
    ids, and two applications cannot be joined by them. Rotating the write key starts new ids.
    """
    return hashlib.blake2b(value, digest_size=_HASH_HEX_DIGITS // 2, key=_hash_key(write_key)).hexdigest()


@lru_cache(maxsize=16)
def _hash_key(write_key: str) -> bytes:
    return hashlib.sha256(write_key.encode()).digest()
