"""Read facts of a request from an environ, of WSGI or of Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apimetry.middleware.event import MAX_STRING_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apimetry.middleware.recorder import Recorder


def as_text(path: str) -> str:
    """Undo PEP 3333's latin-1 disguise of a UTF-8 path."""
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def is_skipped(recorder: Recorder, environ: Mapping[str, Any]) -> bool:
    """Return whether a request is not recorded, by its path with and without SCRIPT_NAME."""
    path, prefix = as_text(environ.get("PATH_INFO", "")), environ.get("SCRIPT_NAME", "")
    return recorder.skips(path) or (bool(prefix) and recorder.skips(as_text(prefix) + path))


def read_client(environ: Mapping[str, Any], recorder: Recorder) -> str | tuple[str, str, str]:
    """Return the peer's address, and X-Forwarded-For and Forwarded if proxies are trusted; empty if not wanted."""
    if not recorder.takes_client_ip:
        return ""
    peer: str = environ.get("REMOTE_ADDR") or ""
    if not recorder.takes_forwarded:
        return peer
    keys = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED")
    forwarded_for, forwarded = (environ.get(key, "")[-MAX_STRING_CHARACTERS:] for key in keys)
    return peer, forwarded_for, forwarded


def read_user_agent(environ: Mapping[str, Any], recorder: Recorder) -> str:
    """Return the User-Agent header; empty if not wanted."""
    agent: str = environ.get("HTTP_USER_AGENT", "") if recorder.takes_user_agent else ""
    return agent[:MAX_STRING_CHARACTERS]
