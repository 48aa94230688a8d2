"""What leaves the process of a URL, an address and a header: the least that is useful, unless asked for more."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import Final

MASK: Final = "***"
MAX_URL_CHARACTERS: Final = 2048
_HASH_HEX_DIGITS: Final = 16

# Only characters that can start one of the patterns' matches make the pattern worth running; a path of short
# plain words passes by one cheap search.
_SUSPECT: Final = re.compile(r"[@%]|[A-Za-z0-9_\-]{20,}|[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.")
_SECRETS: Final = re.compile(
    r"""
      [^/@\s]+(?:@|%40)[^/@\s]+\.[^/@\s]+            # an e-mail address
    | eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*   # a JSON Web Token
    | \b(?:sk|pk|rk|ghp|gho|ghs|ghu|glpat|xox[abprs]|apimetry_[awr])[_\-][A-Za-z0-9_\-]{16,}  # vendors' keys
    | (?<![A-Za-z0-9])[0-9a-fA-F]{32,}(?![A-Za-z0-9])           # long hex: sessions, digests
    | (?<![A-Za-z0-9_\-])(?=[A-Za-z_\-]*[0-9])(?=[^/]*[A-Z])(?=[^/]*[a-z])[A-Za-z0-9_\-]{24,}  # random base64
    """,
    re.VERBOSE,
)


_SHORTEST_SECRET: Final = 20


def mask_path(path: str) -> str:
    """Mask what looks like a secret in a path: e-mail addresses, JWTs, keys, long hex, random base64.

    A UUID stays: it names a resource far more often than it opens one.
    """
    if len(path) < _SHORTEST_SECRET and "@" not in path and "%" not in path:
        return path
    if _SUSPECT.search(path) is None:
        return path
    return _SECRETS.sub(MASK, path)


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
        url = mask_path(path)
        if query and mode == "masked":
            url = f"{url}?{mask_query(query)}"
    return url[:MAX_URL_CHARACTERS]


def public_address(address: str, mode: str) -> str:
    """Return the address as it may leave the process: ``off``, ``truncated`` to /24 and /48, or ``full``."""
    if mode == "off" or not address:
        return ""
    if mode == "full":
        return address
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""  # a Unix socket's name is no address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)


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
