"""The setting `allowed_origins`: taken apart, and what in it no browser will ever send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

# RFC 6454, section 6.2: a scheme, a host in lower case, and a port unless it is the scheme's own.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_OWN_PORTS: Final = {"http": ":80", "https": ":443"}


def origins_in(setting: str) -> tuple[str, ...]:
    """Return the origins of the setting."""
    return tuple(origin for part in setting.split(",") if (origin := part.strip()))


def unmatchable(setting: str) -> Iterator[str]:
    """Yield a sentence for each origin that a browser never sends, with what was probably meant."""
    for origin in origins_in(setting):
        if origin in ("*", "null"):
            continue
        meant = _meant(origin)
        if meant != origin:
            yield (
                f"--allowed-origins (APIMETRY_ALLOWED_ORIGINS): {origin!r} is not an origin, and matches no page;"
                f" did you mean {meant}?"
            )


def _meant(origin: str) -> str:
    """Return the origin that is nearest to a text; itself, where it is one."""
    try:
        parts = urlsplit(origin.lower() if "://" in origin else f"https://{origin.lower()}")
    except ValueError:
        return "https://app.example.com"
    host = parts.netloc.rpartition("@")[2]
    own_port = _OWN_PORTS.get(parts.scheme, "")
    if own_port:
        host = host.removesuffix(own_port)
    nearest = f"{parts.scheme}://{host}"
    return nearest if _ORIGIN.fullmatch(nearest) else "https://app.example.com"
