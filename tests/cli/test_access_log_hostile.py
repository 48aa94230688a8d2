"""Hostile lines: every pattern and every parser takes linear time at most, and raises BadLine only."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import time
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimetry.cli import access_logs
from apimetry.cli.access_logs.events import EventOptions, make_event
from apimetry.cli.access_logs.files import MAX_LINE_BYTES
from apimetry.cli.access_logs.formats.table import FORMATS
from apimetry.cli.access_logs.lines import BadLine, LogLine
from apimetry.cli.access_logs.reading import detect, open_layout, open_reader
from tests.cli.access_log_cases import CASES

LATEST = datetime(2026, 11, 26, tzinfo=timezone.utc)
LAYOUTS = (
    (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"'
        ' "$http_user_agent" $upstream_addr $upstream_response_time $request_time'
    ),
    "$time_iso8601|$remote_addr|$request|$status|$http_user_agent|$http_x_forwarded_for $uri$is_args$args",
    '%v %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{X-Forwarded-For}i %D',
)
SMALL = 4096
# The most that the time may grow when the length doubles: linear growth is 2, quadratic growth is 4.
MOST_TIMES = 3.0
TOO_SHORT_TO_TELL_S = 0.002
ATTEMPTS = 5

HEAD = '1.2.3.4 - - [14/Oct/2014:16:00:00 +0200] "GET /'
# fmt: off
UNITS = [
    "a", "0", "-", " ", "/", "\\", '"', "[", "]", "{", "%", ",", ".", ":", "\x1b[", "\\x", "é", "\x00",
    "a ", "- ", "a,", "1.", "0.001, ", "0.001 : ", " [", '] "', '" "', '\\"', 'a"', '="', "rt=", "rt=1",
    "1ms ", "12ms", "1h", "{}", '{"a":', "[[", "a.b/", "//", "GET ", 'x="y', " => generated ",
    "2014-10-14 14:00:00 ", "14/Oct/2014:16:00:00 ", "[14/Oct/2014:16:00:00", "Oct 14 16:00:00 ", "<1>",
    "1 2 3 ", "a  | ", "GET / 1.1", '- "GET /', ": ", "1/1/",
]
# fmt: on
PREFIXES = [
    "",
    HEAD,
    f'{HEAD} HTTP/1.1" 200 5 "-" "-" ',
    f'{HEAD} HTTP/1.1" 200 5 "',
    '{"log":"',
    "<34>1 ",
    '- "GET ',
]


def modules():
    """Yield every module of the package."""
    for module in pkgutil.walk_packages(access_logs.__path__, f"{access_logs.__name__}."):
        yield importlib.import_module(module.name)


def patterns():
    """Return every pattern of the package's modules and tables: its name, the pattern, and whether it is searched."""
    sources = "".join(inspect.getsource(module) for module in modules())
    rows = {}
    for module in modules():
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                is_searched = bool(re.findall(rf"\b{name}\.(search|findall|finditer|sub)\(", sources))
                rows[pattern.pattern] = (f"{module.__name__}.{name}", pattern, is_searched)
    return [(f"{name} {number}", *rest) for number, (name, *rest) in enumerate(rows.values())]


def patterns_in(value):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from patterns_in(member)
    else:
        for name in ("pattern", "adjacent", "unquoted"):
            if not isinstance(value, type) and isinstance(getattr(value, name, None), re.Pattern):
                yield getattr(value, name)


def spent_s(call, text):
    began_s = time.process_time()
    call(text)
    return time.process_time() - began_s


def grows_linearly(call, prefix, unit):
    """Return whether the processor time for a text of twice the length is about twice as long at most."""
    small = prefix + unit * (SMALL // len(unit))
    double = small + small[len(prefix) :]
    for _ in range(ATTEMPTS):
        small_s = double_s = float("inf")
        # The texts take turns, so that a busy moment of the machine disturbs both.
        for _ in range(3):
            double_s = min(double_s, spent_s(call, double))
            if double_s < TOO_SHORT_TO_TELL_S:
                return True
            small_s = min(small_s, spent_s(call, small))
        if double_s <= MOST_TIMES * small_s:
            return True
    return False


def test_the_measurement_detects_quadratic_time():
    assert not grows_linearly(re.compile(r"\d+x").search, "", "0")


PATTERNS = patterns()


@pytest.mark.parametrize(("name", "pattern", "is_searched"), PATTERNS, ids=[name for name, *_ in PATTERNS])
def test_a_pattern_takes_at_most_linear_time(name, pattern, is_searched):
    calls = [pattern.match, pattern.fullmatch, *([pattern.search, pattern.findall] if is_searched else [])]
    for unit in UNITS:
        for prefix in PREFIXES:
            for call in calls:
                assert grows_linearly(call, prefix, unit), f"{name}: {prefix!r} and many {unit!r}"


def attempt(read):
    def call(text):
        try:
            return read(text)
        except BadLine:
            return None

    return call


READERS = [(name, open_reader(name, LATEST)) for name in FORMATS] + [
    (layout[:20], open_layout(layout, LATEST)) for layout in LAYOUTS
]


@pytest.mark.parametrize(("name", "reader"), READERS, ids=[name for name, _ in READERS])
def test_a_reader_takes_at_most_linear_time(name, reader):
    read = attempt(reader.read)
    for unit in UNITS:
        for prefix in PREFIXES:
            assert grows_linearly(read, prefix, unit), f"{name}: {prefix!r} and many {unit!r}"


@pytest.mark.parametrize("unit", UNITS)
def test_an_event_of_a_hostile_target_takes_at_most_linear_time(unit):
    options = EventOptions("web", "masked", "full", users=True, user_agents=True)

    def call(text):
        return make_event(LogLine(0, "GET", text, 200, user=text, user_agent=text, address=text), 0, "id", options)

    assert grows_linearly(call, "/", unit)
    assert grows_linearly(call, "/?", unit)


def flat(lines):
    return [lines] if isinstance(lines, str) else list(lines)


VALID_LINES = [line for _, lines, _ in CASES for line in flat(lines)]
TEXT = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from([*UNITS, *PREFIXES, "200", "HTTP/1.1", "5", "\n"]), max_size=40).map("".join),
    st.tuples(st.sampled_from(VALID_LINES), st.integers(0, 400), st.text(max_size=20)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
    ),
)


@settings(max_examples=400, deadline=None)
@given(TEXT)
def test_any_line_is_a_request_or_none_or_unreadable(text):
    for _, reader in READERS:
        line = attempt(reader.read)(text)
        if line is not None:
            assert 100 <= line.status <= 999
            assert line.time_us is None or isinstance(line.time_us, int)
            assert line.response_us is None or (isinstance(line.response_us, int) and line.duration)
            assert line.response_bytes is None or 0 <= line.response_bytes < 2**53
            make_event(line, 0, "id", EventOptions("web", users=True, user_agents=True))


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, max_size=5))
def test_any_first_lines_give_a_format_or_none(lines):
    assert detect(lines, LATEST) in {*FORMATS, None}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        '{"a":' * 10_000,
        '{"status":200,"request":{"uri":"/"},"ts":1e400}',
        '{"status":200,"request":{"uri":"/","method":"GET"},"ts":' + "9" * 5000 + "}",
        '{"status":200,"request":{"uri":"/","method":"GET"},"ts":NaN}',
        '{"status":200,"request":{"uri":"/","method":"GET"},"ts":1413295200,"duration":-1e300}',
        '{"status":2e2,"request":"GET / HTTP/1.1","time":true}',
        '{"status":"200","request":"GET / HTTP/1.1","time":"2014-10-14T14:00:00Z","body_bytes_sent":1e30}',
        '{"DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/\\ud800","Duration":-5,"StartUTC":"x"}',
        f"{HEAD}" + "9" * MAX_LINE_BYTES,
        HEAD.replace("2014", "0000") + ' HTTP/1.1" 200 5',
        HEAD.replace("2014", "9999").replace("+0200", "-9999") + ' HTTP/1.1" 200 5',
        HEAD + ' HTTP/1.1" 200 ' + "9" * 16,
    ],
)
def test_deep_and_huge_input_is_unreadable(text):
    for _, reader in READERS:
        with pytest.raises(BadLine):
            reader.read(text) or unreadable()


def unreadable():
    raise BadLine("no request")


def test_invalid_utf8_is_replaced():
    line = open_reader("combined", LATEST).read(
        (HEAD.encode() + b'\xff\xfe HTTP/1.1" 200 5').decode("utf-8", "replace")
    )
    assert line.target == "/\ufffd\ufffd"
