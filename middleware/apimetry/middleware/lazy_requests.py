"""Django's requests load user and session when somebody looks at them. What nobody has looked at stays unloaded."""

# ruff: noqa: ANN401  # Django has no types
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
    """Let a host's callable see of a request what the view has loaded, and load nothing by looking at it.

    A user whom nobody has asked for is `AnonymousUser` meanwhile, or the one that ``request.auser()`` has given; a
    session that nobody has opened is empty, but for one in a cookie, which costs no query. Afterwards the request is
    as it was.
    """
    with _loaded_user(vars(request)), _loaded_session(vars(request).get("session")):
        yield


@contextlib.contextmanager
def _loaded_user(attributes: dict[str, Any]) -> Iterator[None]:
    user = attributes.get("user")
    if not (isinstance(user, LazyObject) and user._wrapped is empty and apps.is_installed("django.contrib.auth")):  # noqa: SLF001
        yield
        return
    from django.contrib.auth.models import (  # type: ignore[import-untyped]  # noqa: PLC0415  # needs the apps' registry
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
    session._session_cache = {}  # noqa: SLF001  # what it looks at before it loads
    try:
        yield
    finally:
        vars(session).clear()
        vars(session).update(before)
