"""Tell whether a request comes from this machine itself. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_from_loopback(peer: str | None, headers: Mapping[str, str]) -> bool:
    """Return whether a request was sent on this machine, to an address of the loopback.

    A reverse proxy on this machine passes on requests of others, so what a proxy adds is a no. The host that the
    client names must be of the loopback too: a page whose name was bound to 127.0.0.1 afterwards names its own host.
    Of pages, only those of this service may send the request.

    Args:
        peer: the address of the connection's other end.
        headers: those of the request.
    """
    if peer is None or not _is_loopback(peer) or any(name in headers for name in _FORWARDED):
        return False
    host = headers.get("Host", "")
    origin = headers.get("Origin")
    return _is_loopback(_host_in(f"//{host}")) and origin in (None, f"http://{host}")


def _host_in(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
