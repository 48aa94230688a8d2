"""Read Django requests without loading anything: their user and session load at the first access."""

# ruff: noqa: ANN401 - Django has no types
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps  # type: ignore[import-untyped]  # it ships no types
from django.utils.functional import LazyObject, empty  # type: ignore[import-untyped]  # likewise

if TYPE_CHECKING:
    from collections.abc import Iterator

_COOKIES: Final = "django.contrib.sessions.backends.signed_cookies"


@contextlib.contextmanager
def without_queries(request: Any) -> Iterator[None]:
    """Let a host's callable read the parts of a request that the view has loaded, without a query of its own.

    Meanwhile, a user that is not loaded is `AnonymousUser`, or the user that ``request.auser()`` returned; a session
    that is not loaded is empty, except for a session in a cookie, which costs no query. Afterwards the request is as
    it was.
    """
    with _loaded_user(vars(request)), _loaded_session(vars(request).get("session")):
        yield


@contextlib.contextmanager
def _loaded_user(attributes: dict[str, Any]) -> Iterator[None]:
    user = attributes.get("user")
    if not (isinstance(user, LazyObject) and user._wrapped is empty and apps.is_installed("django.contrib.auth")):  # noqa: SLF001 - Django
        yield
        return
    from django.contrib.auth.models import (  # type: ignore[import-untyped]  # noqa: PLC0415 - it needs the registry of apps
        AnonymousUser,
    )

    known = attributes.get("_acached_user") or attributes.get("_cached_user")
    attributes["user"] = AnonymousUser() if known is None else known
    try:
        yield
    finally:
        attributes["user"] = user


@contextlib.contextmanager
def _loaded_session(session: Any) -> Iterator[None]:
    is_open = session is None or "_session_cache" in vars(session) or type(session).__module__ == _COOKIES
    if is_open or not hasattr(session, "session_key"):
        yield
        return
    before = dict(vars(session))
    session._session_cache = {}  # noqa: SLF001 - the session reads it before it loads
    try:
        yield
    finally:
        vars(session).clear()
        vars(session).update(before)
