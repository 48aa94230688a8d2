"""Read facts of a request from an ASGI scope, and from the messages of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimetry.middleware.bodies import BODILESS_METHODS
from apimetry.middleware.event import MAX_STRING_CHARACTERS

if TYPE_CHECKING:
    from apimetry.middleware.asgi import Message, Scope
    from apimetry.middleware.event import Details
    from apimetry.middleware.recorder import Recorder


def find_header(scope: Scope, header_name: bytes) -> bytes:
    """Return the value of a header; empty without it."""
    for name, value in scope["headers"]:
        if name == header_name:
            return bytes(value)
    return b""


def read_details(scope: Scope, recorder: Recorder, error_type: str, extra: dict[str, str] | None) -> Details:
    """Return what few events have; `extra` is the adapter's own data."""
    return (
        error_type,
        _read_client(scope, recorder) if recorder.takes_client_ip else "",
        _read_user_agent(scope) if recorder.takes_user_agent else "",
        recorder.data(scope, extra),
    )


def _read_user_agent(scope: Scope) -> str:
    return find_header(scope, b"user-agent")[:MAX_STRING_CHARACTERS].decode("latin-1")


def _read_client(scope: Scope, recorder: Recorder) -> str | tuple[str, str, str]:
    client = scope.get("client")
    peer: str = client[0] if client else ""
    if not recorder.takes_forwarded:
        return peer
    headers = scope["headers"]
    values = (b",".join(v for n, v in headers if n == name) for name in (b"x-forwarded-for", b"forwarded"))
    forwarded_for, forwarded = (value[-MAX_STRING_CHARACTERS:].decode("latin-1") for value in values)
    return peer, forwarded_for, forwarded


def may_have_body(scope: Scope, method: str) -> bool:
    """Return whether a request without a Content-Length may have a body. HTTP/2 and 3 need no header for a body."""
    if find_header(scope, b"transfer-encoding"):
        return True
    return str(scope.get("http_version", "")) in ("2", "3") and method not in BODILESS_METHODS


def message_bytes(message: Message) -> int:
    """Return the bytes of a websocket's message."""
    text = message.get("text")
    if text:
        return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return len(message.get("bytes") or b"")
