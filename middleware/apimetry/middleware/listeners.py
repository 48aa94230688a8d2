"""Note the exceptions that a framework turns into a response inside the middleware, by the framework's own hooks.

No hook changes a response. A hook is set when a middleware is made around an application of its framework.
"""

# ruff: noqa: ANN401 - objects of several frameworks, none of which is imported here
from __future__ import annotations

import inspect
import sys
from typing import Any

from apimetry.middleware.nesting import note_error
from apimetry.middleware.routers import find_routers, is_falcon


def listen_within(app: Any) -> None:
    """Listen to the frameworks of an application, through its wrappers. A second call changes nothing."""
    # One signal of Flask, or of Quart, serves every application in the process.
    for name, receiver in (("flask", _note_flask), ("quart", _note_quart)):
        module = sys.modules.get(name)
        if module is not None:
            module.got_request_exception.connect(receiver)
    for _, owner in find_routers(app):
        _listen_to(owner)


def _listen_to(owner: Any) -> None:
    if hasattr(owner, "asgi_router") and isinstance(hooks := getattr(owner, "after_exception", None), list):
        if _note_litestar not in hooks:
            hooks.append(_note_litestar)
    elif is_falcon(owner) and isinstance(handlers := getattr(owner, "_error_handlers", None), dict):
        _listen_to_falcon(handlers)


def _note_flask(_sender: Any, exception: BaseException, **_extra: Any) -> None:
    note_error(sys.modules["flask"].request.environ, exception)


async def _note_quart(_sender: Any, exception: BaseException, **_extra: Any) -> None:
    note_error(sys.modules["quart"].request.scope, exception)


async def _note_litestar(error: Exception, scope: Any) -> None:
    note_error(scope, error)


def _listen_to_falcon(handlers: dict[Any, Any]) -> None:
    """Put a note before the handler of `Exception`: Falcon's own, which answers 500, or the host's."""
    handler = handlers.get(Exception)
    if handler is None or getattr(handler, "tells_apimetry", False):
        return
    if inspect.iscoroutinefunction(handler):

        async def noting_async(request: Any, response: Any, error: Exception, *rest: Any, **more: Any) -> None:
            note_error(request.scope, error)
            await handler(request, response, error, *rest, **more)

        noting: Any = noting_async
    else:

        def noting_sync(request: Any, response: Any, error: Exception, *rest: Any, **more: Any) -> None:
            note_error(request.env, error)
            handler(request, response, error, *rest, **more)

        noting = noting_sync
    noting.tells_apimetry = True
    handlers[Exception] = noting
