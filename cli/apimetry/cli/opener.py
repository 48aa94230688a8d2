"""The connections of the command's HTTP client: no redirect is followed, and this machine needs no proxy."""

from __future__ import annotations

import ipaddress
import urllib.request
from urllib.parse import urlsplit


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Return a redirect to the caller instead of following it."""

    def redirect_request(self, *_: object) -> None:
        """Return None: no request follows the redirect."""


def make_opener(url: str) -> urllib.request.OpenerDirector:
    """Return an opener for the service at `url`: it knows http and https only."""
    opener = urllib.request.OpenerDirector()
    handlers = [urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler]
    proxies: dict[str, str] | None = {} if is_this_machine(urlsplit(url).hostname or "") else None
    for handler in (urllib.request.ProxyHandler(proxies), _NoRedirect(), urllib.request.HTTPErrorProcessor()):
        opener.add_handler(handler)
    for kind in handlers:
        opener.add_handler(kind())
    return opener


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
