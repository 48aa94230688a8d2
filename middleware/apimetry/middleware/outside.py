"""Follow the response of an outer layer of the same application, after the inner layers have raised.

Starlette and FastAPI put every added middleware inside their own outermost layer. That layer answers an unhandled
exception: with the host's handler of `Exception`, or with a page. A layer in between may answer too, such as a
timeout that cancelled the request. Every such response reaches the server through one variable of the outermost
layer's call. The variable belongs to one request. A follower in the variable sees the response. Other frameworks have
no such layer: there `ASGIMiddleware(app)` around the whole application sees every response.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CellType

    from apimetry.middleware.asgi import Message

_OUTERMOST: Final = "ServerErrorMiddleware"
_MAX_FRAMES: Final = 256


def find_way_out() -> CellType | None:
    """Find the variable with the server's `send` in the outermost layer, which awaits this call; None without it."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 - nothing public shows the awaiting callers
    for _ in range(_MAX_FRAMES):
        frame = frame.f_back
        if frame is None:
            return None
        if frame.f_code.co_name == "__call__" and "_send" in frame.f_code.co_varnames:
            variables = frame.f_locals
            if type(variables.get("self")).__name__ == _OUTERMOST:
                return _cell_of(variables.get("_send"), "send")
    return None


def _cell_of(function: Any, name: str) -> CellType | None:  # noqa: ANN401 - a local variable of Starlette
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    if name not in names:
        return None
    cell: CellType = function.__closure__[names.index(name)]
    return cell


class Follower:
    """The server's `send` as an outer layer calls it; passes every message to `take`, which sends and counts it.

    A follower lives as long as the outer layer's call. At its end it calls `give_up`: the outer layer may have left
    the response to the server.
    """

    __slots__ = ("_give_up", "_take")

    def __init__(self, take: Callable[[Message], Awaitable[None]], give_up: Callable[[], None]) -> None:
        self._take = take
        self._give_up = give_up

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message of the outer layer."""
        return self._take(message)

    def __del__(self) -> None:
        self._give_up()
