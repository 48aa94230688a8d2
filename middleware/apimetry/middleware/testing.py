"""Events for tests: inside ``with record_events()``, events go to a list and nowhere else."""

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
    """One event as it would be sent: secrets masked, consumers hashed. Durations in microseconds."""

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
    """The figures of one route, from its events."""

    events: tuple[RecordedEvent, ...]

    @property
    def count(self) -> int:
        """Return the number of requests."""
        return len(self.events)

    @property
    def statuses(self) -> list[int]:
        """Return the statuses of the responses, in the order of the requests."""
        return [event.status_code for event in self.events]

    @property
    def error_rate(self) -> float:
        """Return the share of responses with a 5xx status, 0 to 1."""
        return sum(status >= 500 for status in self.statuses) / len(self.events)

    @property
    def p50_us(self) -> int:
        """Return the median response time, microseconds."""
        return self.percentile_us(50)

    @property
    def p95_us(self) -> int:
        """Return the response time that 95 % of the requests did not exceed, microseconds."""
        return self.percentile_us(95)

    @property
    def p99_us(self) -> int:
        """Return the response time that 99 % of the requests did not exceed, microseconds."""
        return self.percentile_us(99)

    @property
    def max_us(self) -> int:
        """Return the longest response time, microseconds."""
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
        """Forget the events so far."""
        self._events.clear()

    def add(self, event: RecordedEvent) -> None:
        """Add an event; for the recorder."""
        self._events.append(event)

    def assert_route(self, route: str, *, method: str | None = None, count: int | None = None) -> RouteFigures:
        """Assert that a route was requested, and return its figures.

        Args:
            route: the template, such as ``/v1/scores/{identity}``.
            method: only requests with this method.
            count: the number of requests to assert; None asserts at least one.

        Raises:
            AssertionError: the number of requests is another; the message names the recorded events.
        """
        events = tuple(e for e in self._events if e.route == route and method in (None, e.method))
        description = f"{method or 'request'} to {route}"
        if not events or count not in (None, len(events)):
            raise AssertionError(f"{len(events)} {description}, expected {count or 'some'}; recorded: {self!r}")
        return RouteFigures(events)


@contextlib.contextmanager
def record_events() -> Iterator[RecordedEvents]:
    """Make every middleware of this process record into the returned list, also a middleware that is made meanwhile.

    Not for several threads at once: all middlewares of a process record into the same list.
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

    def make(self: Recorder, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the arguments of Recorder
        original(self, *arguments, **options)
        divert(self)

    # Applications make middlewares at any time: when a module is imported, or at the first request.
    for recorder in [item for item in gc.get_objects() if type(item) is Recorder]:
        divert(recorder)
    Recorder.__init__ = make  # type: ignore[method-assign]
    try:
        yield events
    finally:
        Recorder.__init__ = original  # type: ignore[method-assign]
        for action in undo:
            action()
