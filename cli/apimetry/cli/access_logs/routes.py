"""Which guessed routes are believed: those that answered once, or were asked for twice. Pure, but for its memory.

A scanner asks for hundreds of paths that do not exist, and not every server answers 404: each would be a route of its
own. So a route that is seen once, with an error, is unmatched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from apimetry.middleware.routes import UNMATCHED

_MAX_HELD = 10_000
_MAX_KNOWN = 100_000


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that is to be sent, the id of its line, and the hour under which that is looked up."""

    event: dict[str, object]
    line_id: str
    hour: int | None


class Routes:
    """Holds back the first event of each route that is in doubt, until another one confirms it.

    Args:
        known: routes that are believed from the start.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = set(known)
        self._held: OrderedDict[str, Pending] = OrderedDict()

    def take(self, pending: Pending) -> list[Pending]:
        """Return what can be sent now that this event has come."""
        route = str(pending.event["route"])
        if route == UNMATCHED or route in self._known:
            return [pending]
        held = self._held.pop(route, None)
        if held is not None or int(str(pending.event["status_code"])) < 400:
            if len(self._known) < _MAX_KNOWN:
                self._known.add(route)
            return [pending] if held is None else [held, pending]
        self._held[route] = pending
        return [_unmatched(self._held.popitem(last=False)[1])] if len(self._held) > _MAX_HELD else []

    def release(self) -> list[Pending]:
        """Return what is still in doubt, as unmatched."""
        released = [_unmatched(held) for held in self._held.values()]
        self._held.clear()
        return released


def _unmatched(pending: Pending) -> Pending:
    pending.event["route"] = UNMATCHED
    return pending
