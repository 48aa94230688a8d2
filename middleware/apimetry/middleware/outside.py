"""What an outer layer of the same application answers after ours has raised, where it can be seen.

Starlette and FastAPI put every middleware that is added to them inside one of their own, which answers what nobody
has handled: with the host's handler of `Exception`, or a page. A layer in between may answer too, such as a timeout
that has cancelled us. All of that goes to the server through one variable of that outermost layer's call, and this
request's call alone: a follower in its place sees it. Elsewhere nothing is followed, and `ASGIMiddleware(app)`, put
around the whole application, sees every answer.
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
    """Find the variable that holds the server's `send` in the outermost layer that is awaiting us, or None."""
    frame: Any = sys._getframe(1)  # noqa: SLF001  # there is no other way to see who awaits
    for _ in range(_MAX_FRAMES):
        frame = frame.f_back
        if frame is None:
            return None
        if frame.f_code.co_name == "__call__" and "_send" in frame.f_code.co_varnames:
            variables = frame.f_locals
            if type(variables.get("self")).__name__ == _OUTERMOST:
                return _cell_of(variables.get("_send"), "send")
    return None


def _cell_of(function: Any, name: str) -> CellType | None:  # noqa: ANN401  # another's local
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    if name not in names:
        return None
    cell: CellType = function.__closure__[names.index(name)]
    return cell


class Follower:
    """The server's `send` as an outer layer calls it: passes each message on, and to the one who counts.

    It lives as long as that layer's call. Whoever goes away without an answer has left it to the server: then
    `give_up` is called.
    """

    __slots__ = ("_give_up", "_take")

    def __init__(self, take: Callable[[Message], Awaitable[None]], give_up: Callable[[], None]) -> None:
        self._take = take
        self._give_up = give_up

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message."""
        return self._take(message)

    def __del__(self) -> None:
        self._give_up()
