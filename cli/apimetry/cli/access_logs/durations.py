"""Read response times as logs write them, and only where a name or a unit leaves no doubt. Pure."""

from __future__ import annotations

import re

from apimetry.cli.access_logs.lines import US_PER_S, BadLine

Duration = tuple["int | None", str]
"""A response time in microseconds, and the field and unit that it was read from; `(None, "")` without one."""
LONGEST_US = 86_400 * US_PER_S
"""The longest plausible response time. A larger number is another quantity, read by mistake."""
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_WRITTEN_UNITS_US = {**UNITS_US, "µs": 1.0, "μs": 1.0, "m": 6e7, "h": 3.6e9, "msec": 1e3, "msecs": 1e3, "sec": 1e6}
_WITH_UNIT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(msecs|msec|sec|ns|us|µs|μs|ms|s|m|h)")
_WHOLE_WITH_UNIT = re.compile(rf"\A(?:{_WITH_UNIT.pattern}){{1,4}}\Z")
_NUMBER = re.compile(r"\A\d{1,15}(?:\.\d{1,9})?(?:[eE]-\d{1,2})?\Z")
# The names that servers and people give to the response time, without the unit.
_NAMES = frozenset(
    (
        *("rt", "request_time", "req_time", "response_time", "resp_time", "responsetime", "requesttime"),
        *("duration", "elapsed", "took", "latency", "time_taken", "total_time", "processing_time", "dur"),
    )
)
_UNIT_SUFFIX = re.compile(
    r"(?:[_-]?(ms|millis|milliseconds|us|micros|microseconds|ns|nanos|nanoseconds)|[_-](s|sec|secs|seconds))\Z"
)
_SUFFIXES = {"mil": "ms", "ms": "ms", "mic": "us", "us": "us", "nan": "ns", "ns": "ns", "sec": "s", "s": "s"}
# nginx writes $request_time with exactly three digits after the point, and people label it with these names.
_NGINX_NAMES = frozenset(("rt", "request_time"))
_NGINX_TIME = re.compile(r"\A\d{1,7}\.\d{3}\Z")


def in_unit(text: str, unit_us: float) -> int | None:
    """Return a number in a known unit as microseconds; None for `-`; raise BadLine."""
    if text in {"-", ""}:
        return None
    if _NUMBER.match(text) is None:
        raise BadLine("its response time cannot be read")
    return round(float(text) * unit_us)


def with_unit(text: str) -> int | None:
    """Return `1.2ms`, `22 ms` or Go's `1m2.5s` as microseconds; None where no unit is written."""
    if _WHOLE_WITH_UNIT.match(text) is None:
        return None
    return round(sum(float(number) * _WRITTEN_UNITS_US[unit] for number, unit in _WITH_UNIT.findall(text)))


def labelled(name: str, text: str) -> tuple[int, str] | None:
    """Return the microseconds of a named value, and the field and unit that were read; None in case of doubt.

    A value with a unit needs a name that means the response time. A bare number needs a name that ends in its unit
    (`duration_ms`). A bare `rt` or `request_time` is in seconds where it has nginx's form: `0.012`.
    """
    low = name.lower().lstrip("$")
    base, unit = low, ""
    suffix = _UNIT_SUFFIX.search(low[-16:])
    if suffix is not None and low[: len(low) - len(suffix[0])] in _NAMES:
        base, unit = low[: len(low) - len(suffix[0])], _SUFFIXES[(suffix[1] or suffix[2])[:3]]
    if base not in _NAMES:
        return None
    duration = with_unit(text)
    if duration is not None:
        return duration, f"{name} (its own unit)"
    if not unit and base in _NGINX_NAMES and _NGINX_TIME.match(text):
        unit = "s"
    if not unit or _NUMBER.match(text) is None:
        return None
    return round(float(text) * UNITS_US[unit]), f"{name} ({UNIT_NAMES[unit]})"
