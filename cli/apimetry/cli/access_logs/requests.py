"""Parse the request of a log line: escapes, method, target and address. Pure."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_METHOD = re.compile(r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}\Z")
# Hypercorn writes the version alone, and `ws` for a websocket.
_PROTOCOL = re.compile(r"\A(?:HTTP/\d(?:\.\d)?|\d\.\d|[23]|ws)\Z")
_AUTHORITY = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]{0,15}://[^/?#]*")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_HOST_PORT = re.compile(r"\A(?:\[(?P<v6>[^\]]{2,45})\](?::\d{1,5})?|(?P<v4>[0-9.]{7,15}):\d{1,5})\Z")
NOT_HTTP = ("", "")


def read_request(text: str) -> tuple[str, str]:
    """Return the method and the target of a request line; both are empty where the text is not HTTP.

    A server that cannot read a request writes `-`, nothing, or the received bytes, such as those of a TLS handshake.
    """
    method, _, rest = text.partition(" ")
    target, space, protocol = rest.rpartition(" ")
    has_protocol = bool(space) and _PROTOCOL.match(protocol) is not None
    if not has_protocol:
        target = rest
    target = target.strip(" ")
    if not target or method == "-" or _METHOD.match(method) is None:
        return NOT_HTTP
    if not has_protocol and not target.startswith(("/", "*")) and "://" not in target[:24]:
        return NOT_HTTP
    return method, origin_form(target)


def origin_form(target: str) -> str:
    """Return the path and query of a target, also of one with scheme and host, as proxies and balancers have it."""
    match = _AUTHORITY.match(target)
    if match is None:
        return target
    rest = target[match.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def unescape(text: str) -> str:
    r"""Undo `\xHH`, `\"`, `\\`, `\n` and `\uHHHH`: bytes of UTF-8, or characters, as a server escapes them."""
    if "\\" not in text:
        return text
    unescaped = _ESCAPE.sub(_replace, text)
    try:
        return unescaped.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return unescaped.encode("utf-8", "replace").decode("utf-8")


def _replace(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _CONTROLS.get(code, code)


@lru_cache(maxsize=1024)
def read_address(text: str) -> str:
    """Return an IP address without its port; empty for a name, a socket, or another text."""
    text = text.strip().strip('"')
    match = _HOST_PORT.match(text)
    if match is not None:
        text = match["v6"] or match["v4"]
    try:
        return str(ipaddress.ip_address(text[:64].partition("%")[0]))
    except ValueError:
        return ""
