"""Events for tests: what the middleware records inside a ``with record_events()`` goes to a list and nowhere else."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from apimetry.middleware.recorder import Recorder
from apimetry.middleware.rows import make_row, measure_epoch_ns
from apimetry.middleware.wire import EVENT_DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apimetry.middleware.event import RawEvent


@dataclass(frozen=True)
class RecordedEvent:
    """One event as it would have been sent: secrets masked, consumers hashed. Durations in microseconds."""

    timestamp_us: int
    method: str
    url: str
    route: str
    function: str
    status_code: int
    response_us: int
    ttfb_us: int | None
    request_bytes: int | None
    response_bytes: int | None
    consumer_id: str
    error_type: str
    client_ip: str
    user_agent: str
    sample_weight: int
    data: dict[str, str] | None


@dataclass(frozen=True)
class RouteFigures:
    """What the events of one route say together."""

    events: tuple[RecordedEvent, ...]

    @property
    def count(self) -> int:
        """How many requests there were."""
        return len(self.events)

    @property
    def statuses(self) -> list[int]:
        """Their statuses, in the order of the requests."""
        return [event.status_code for event in self.events]

    @property
    def error_rate(self) -> float:
        """The share of them that was answered with a 5xx, 0 to 1."""
        return sum(status >= 500 for status in self.statuses) / len(self.events)

    @property
    def p50_us(self) -> int:
        """The median response time, microseconds."""
        return self.percentile_us(50)

    @property
    def p95_us(self) -> int:
        """The response time that 95 % of them did not exceed, microseconds."""
        return self.percentile_us(95)

    @property
    def p99_us(self) -> int:
        """The response time that 99 % of them did not exceed, microseconds."""
        return self.percentile_us(99)

    @property
    def max_us(self) -> int:
        """The longest response time, microseconds."""
        return self.percentile_us(100)

    def percentile_us(self, percent: float) -> int:
        """Return the response time at a percentile over 0 and up to 100, by nearest rank, microseconds."""
        durations = sorted(event.response_us for event in self.events)
        return durations[max(math.ceil(percent / 100 * len(durations)), 1) - 1]


class RecordedEvents(Sequence[RecordedEvent]):
    """The events of a test, oldest first. Grows while the test runs."""

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []

    @overload
    def __getitem__(self, index: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedEvent]: ...
    def __getitem__(self, index: int | slice) -> RecordedEvent | list[RecordedEvent]:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        shown = (f"{e.method} {e.route} {e.status_code} {e.response_us} µs" for e in self._events)
        return f"<RecordedEvents: {'; '.join(shown) or 'none'}>"

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self._events.clear()

    def add(self, event: RecordedEvent) -> None:
        """Take an event; for the recorder."""
        self._events.append(event)

    def assert_route(self, route: str, *, method: str | None = None, count: int | None = None) -> RouteFigures:
        """Assert that a route was asked for, and return what its events say.

        Args:
            route: the template, such as ``/v1/scores/{identity}``.
            method: only requests with this method.
            count: assert that there were so many.

        Raises:
            AssertionError: there was none, or another number; the message names what there was.
        """
        found = tuple(e for e in self._events if e.route == route and method in (None, e.method))
        wanted = f"{method or 'request'} to {route}"
        if not found or count not in (None, len(found)):
            raise AssertionError(f"{len(found)} {wanted}, expected {count or 'some'}; recorded: {self!r}")
        return RouteFigures(found)


@contextlib.contextmanager
def record_events() -> Iterator[RecordedEvents]:
    """Have every middleware of this process record into the list that is returned, also those made meanwhile.

    Not for several threads at once: the middlewares of a process have one place to record to.
    """
    events = RecordedEvents()
    undo: list[Callable[[], None]] = []

    def divert(recorder: Recorder) -> None:
        def take(event: RawEvent) -> None:
            row = make_row(event, recorder.options, measure_epoch_ns())
            values: Any = (*row, *EVENT_DEFAULTS[len(row) :])
            events.add(RecordedEvent(*values))

        undo.append(recorder.divert(take))

    original = Recorder.__init__

    def make(self: Recorder, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - whatever they are
        original(self, *arguments, **options)
        divert(self)

    # Middlewares are made at any time: when a module is imported, or at an application's first request.
    for living in [thing for thing in gc.get_objects() if type(thing) is Recorder]:
        divert(living)
    Recorder.__init__ = make  # type: ignore[method-assign]
    try:
        yield events
    finally:
        Recorder.__init__ = original  # type: ignore[method-assign]
        for action in undo:
            action()
