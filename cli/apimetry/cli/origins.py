"""Parse the setting `allowed_origins`, and find the origins in it that no browser sends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

# RFC 6454, section 6.2: a scheme, a host in lower case, and a port where it is not the scheme's default.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def origins_in(setting: str) -> tuple[str, ...]:
    """Return the origins of the setting."""
    return tuple(origin for part in setting.split(",") if (origin := part.strip()))


def unmatchable(setting: str) -> Iterator[str]:
    """Yield a sentence for every origin that no browser sends; it suggests the nearest valid origin."""
    for origin in origins_in(setting):
        if origin in ("*", "null"):
            continue
        suggestion = _nearest_origin(origin)
        if suggestion != origin:
            yield (
                f"--allowed-origins (APIMETRY_ALLOWED_ORIGINS): {origin!r} is not an origin, and matches no page;"
                f" did you mean {suggestion}?"
            )


def _nearest_origin(origin: str) -> str:
    """Return the valid origin that is nearest to a text; a valid origin is returned unchanged."""
    try:
        parts = urlsplit(origin.lower() if "://" in origin else f"https://{origin.lower()}")
    except ValueError:
        return "https://app.example.com"
    host = parts.netloc.rpartition("@")[2]
    default_port = _DEFAULT_PORTS.get(parts.scheme, "")
    if default_port:
        host = host.removesuffix(default_port)
    nearest = f"{parts.scheme}://{host}"
    return nearest if _ORIGIN.fullmatch(nearest) else "https://app.example.com"
