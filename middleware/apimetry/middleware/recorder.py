"""The recorder: the part of a middleware that all adapters share: options, sampling, callables, exporter."""

from __future__ import annotations

import importlib
import random
from typing import TYPE_CHECKING, Any, Final

from apimetry.middleware.errors import Faults, logger
from apimetry.middleware.event import (
    DETAILS,
    MAX_DATA_ENTRIES,
    MAX_STRING_CHARACTERS,
    RESPONSE_NS,
    SAMPLE_WEIGHT,
    STATUS_CODE,
)
from apimetry.middleware.host import Host, lacks_threads
from apimetry.middleware.options import INGEST_PATH, compile_exclude, make_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apimetry.middleware.event import RawEvent
    from apimetry.middleware.exporter import Exporter
    from apimetry.middleware.options import Options

CLIENT_CLOSED: Final = 499
"""The status of a request whose client left before the last body part (nginx's number for it)."""

_dice: Final = random.SystemRandom()
"""Not the module's own generator: the host may seed it. Its seed would choose our samples, and our draws would change
the host's numbers. The system's generator has no state that a fork by C code (uWSGI) copies to every worker."""


class Recorder:
    """Take the events of one middleware. Thread-safe; no method raises into the host.

    Attributes:
        enabled: whether there is a write key; without one, one warning was logged and nothing is recorded.
        skips: tells whether requests to a path are not recorded. The collector's own endpoint is never recorded: a
            collector with the middleware must not feed itself.
        takes_client_ip, takes_forwarded, takes_user_agent: whether the adapter reads them.
        calls_consumer, calls_data: whether `consumer=`, or `data=`, is a callable.
        calls_host: whether at least one of them is.
        takes_more: whether an event has more than the consumer's header: a callable's values, the address, the
            User-Agent. Few hosts want that, and others pay one test.
        consumer_header: the name of the header that identifies the consumer, lower case, or empty;
            as `consumer_header_bytes` for ASGI, as `consumer_environ_key` for WSGI and Django.
        record: takes a finished event; never blocks.
        host: the state of the host's server.
    """

    def __init__(self, arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        options = make_options(arguments, environment)
        self.options = options
        self.enabled = bool(options.write_key)
        self.takes_client_ip = options.client_ip != "off"
        self.takes_user_agent = options.user_agent
        self.consumer_header = options.consumer.lower() if isinstance(options.consumer, str) else ""
        self.takes_forwarded = self.takes_client_ip and bool(options.trusted_proxies)
        self.consumer_header_bytes = self.consumer_header.encode("latin-1", "replace")
        self.consumer_environ_key = (
            "HTTP_" + self.consumer_header.upper().replace("-", "_") if self.consumer_header else ""
        )
        self._consumer: Callable[[Any], object] | None = (
            None if isinstance(options.consumer, str) else options.consumer
        )
        self._data = options.data
        self.calls_consumer = self._consumer is not None
        self.calls_host = self.calls_consumer or self._data is not None
        self.calls_data = self._data is not None
        self.takes_more = self.calls_host or self.takes_client_ip or self.takes_user_agent
        self.skips: Callable[[str], bool] = (
            compile_exclude((*options.exclude, INGEST_PATH)) if self.enabled else _skip_all
        )
        self._slow_ns = int(options.slow_ms * 1_000_000)
        self._faults = Faults()
        self.host = Host()
        self._exporter = _make_exporter(options, self._faults, self.host) if self.enabled else None
        self._submit = _ignore if self._exporter is None else self._exporter.submit
        # No wrapper around `submit`: one call less per request. The adapters catch its exceptions.
        self.record: Callable[[RawEvent], None] = self._submit if options.sample == 1 else self._sample
        if not self.enabled:
            logger.warning("apimetry: no write key (write_key= or APIMETRY_WRITE_KEY), requests are not recorded")

    def divert(self, take: Callable[[RawEvent], None]) -> Callable[[], None]:
        """Hand every event to `take`, without sampling, and also without a key; returns the function that ends it."""
        before = self.skips, self.record
        self.skips, self.record = compile_exclude((*self.options.exclude, INGEST_PATH)), take

        def restore() -> None:
            self.skips, self.record = before

        return restore

    def skips_under(self, prefix: str, path: str) -> bool:
        """Return whether a path is skipped, with or without its prefix. The path may lack the prefix."""
        prefix = prefix.rstrip("/")
        if path == prefix or path.startswith(f"{prefix}/"):
            return self.skips(path[len(prefix) :] or "/")
        return self.skips(prefix + path)

    def consumer(self, request: object) -> str:
        """Return the consumer, by the host's callable; empty without one, or if it raises."""
        try:
            consumer = None if self._consumer is None else self._consumer(request)
            _refuse_awaitable(consumer)
            return "" if consumer is None else str(consumer)[:MAX_STRING_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - a host's callable never hurts its request
            self._faults.report("consumer", "consumer= raised %s", type(error).__name__)
            return ""

    def data(self, request: object, extra: dict[str, str] | None = None) -> dict[str, str] | None:
        """Return the event's data: the mapping of the host's callable, as strings, and the adapter's `extra`."""
        if self._data is None:
            return extra
        try:
            mapping = self._data(request) or {}
            _refuse_awaitable(mapping)
            data = {
                str(key)[:MAX_STRING_CHARACTERS]: str(value)[:MAX_STRING_CHARACTERS]
                for key, value in list(mapping.items())[:MAX_DATA_ENTRIES]
            }
        except Exception as error:  # noqa: BLE001 - a host's callable never hurts its request
            self._faults.report("data", "data= raised %s", type(error).__name__)
            return extra
        if extra:
            data.update(extra)
        return data or None

    def report_fault(self, kind: str, error: BaseException) -> None:
        """Log a fault of the middleware itself, once per kind."""
        self._faults.report(kind, "%s failed: %r", kind, error)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when the collector took all of it within the timeout. Blocks.

        False without a write key, as nothing is sent; and if the collector refused an event since the last flush.
        """
        return self._exporter is not None and self._exporter.flush(timeout_s)

    def counters(self) -> dict[str, object]:
        """Return captured, sent and dropped by reason, cumulative for this process."""
        return {"captured": 0, "sent": 0, "dropped": {}} if self._exporter is None else self._exporter.counters()

    def _sample(self, event: RawEvent) -> None:
        weight = self._weight(event)
        if weight:
            self._submit((*event[:SAMPLE_WEIGHT], weight, event[DETAILS]))

    def _weight(self, event: RawEvent) -> int:
        """Decide how many requests an event stands for; 0: the event is left out.

        Errors and slow requests are kept with weight 1. Of the others a share `sample` is kept, with a weight
        whose mean is 1 / sample (for 0.4: 2 or 3, evenly), so that every sum of weights is unbiased.
        """
        if event[STATUS_CODE] >= 400 or event[RESPONSE_NS] >= self._slow_ns:
            return 1
        sample = self.options.sample
        if _dice.random() >= sample:
            return 0
        return int(1 / sample + _dice.random())


def _make_exporter(options: Options, faults: Faults, host: Host) -> Exporter:
    # Not at the first event: a fork may interrupt an import, which then never ends in the child.
    from apimetry.middleware.exporter import Exporter  # noqa: PLC0415 - without a key, half of the import time is saved

    if options.buffer_dir:
        importlib.import_module("apimetry.middleware.overflow")
    if lacks_threads():
        faults.report("uwsgi", "uWSGI runs without --enable-threads: no event will be sent")
    return Exporter(options, faults, host)


def _refuse_awaitable(value: object) -> None:
    """Raise TypeError for an awaitable. Not every async callable is recognized before its call."""
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)
        if callable(close):
            close()  # otherwise Python warns that the awaitable was never awaited
        raise TypeError(type(value).__name__)


def _ignore(_event: RawEvent) -> None:
    return None


def _skip_all(_path: str) -> bool:
    return True
