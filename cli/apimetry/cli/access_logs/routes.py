"""Decide which guessed routes are accepted: those with one success, or with two requests. Pure, except for its state.

A scanner requests hundreds of paths that do not exist, and some servers do not answer them with 404. Every such path
would become a route. So the route of a single request that failed is unmatched.
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
    """An event to send, the id of its line, and the hour that the id belongs to."""

    event: dict[str, object]
    line_id: str
    hour: int | None


class Routes:
    """Hold the first event of a doubtful route until a second event confirms the route.

    Args:
        known: routes that are accepted from the start.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = set(known)
        self._held: OrderedDict[str, Pending] = OrderedDict()

    def take(self, pending: Pending) -> list[Pending]:
        """Add an event, and return the events that can be sent now."""
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
        """Return the events of routes that are still doubtful, as unmatched."""
        released = [_unmatched(held) for held in self._held.values()]
        self._held.clear()
        return released


def _unmatched(pending: Pending) -> Pending:
    pending.event["route"] = UNMATCHED
    return pending
