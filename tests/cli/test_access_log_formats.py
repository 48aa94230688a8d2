"""Every format as real configurations write it: it is detected, and its lines are parsed or unreadable."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from apimetry.cli.access_logs.formats.table import FORMATS
from apimetry.cli.access_logs.lines import BadLine
from apimetry.cli.access_logs.reading import detect, open_reader
from tests.cli.access_log_cases import (
    ALB,
    CADDY,
    CASES,
    COMBINED,
    ENVOY,
    HAPROXY,
    HEAD,
    REQUEST,
    TIME_US,
    TRAEFIK,
    UTC,
    UWSGI,
)

LATEST = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)


def read(lines, form=None, zone=UTC):
    """Return the detected format, and the request of the last line."""
    lines = [lines] if isinstance(lines, str) else lines
    latest = LATEST.astimezone(zone)
    form = form or detect(lines, latest)
    reader = open_reader(form, latest)
    return form, [reader.read(line) for line in lines][-1]


@pytest.mark.parametrize(("form", "lines", "expected"), CASES)
def test_the_format_of_a_line_is_detected_and_the_line_is_parsed(form, lines, expected):
    duration, line = read(lines)
    assert duration == form
    assert {name: getattr(line, name) for name in expected} == expected


@pytest.mark.parametrize(
    "tail",
    [
        "12",
        "0.012",
        "12.345",
        "443",
        "1413295200.123",
        "12345/67",
        "0/12345",
        "rt=12",
        "time=0.012",
        "upstream_response_time=0.012",
        '"12ms"',
        "10m",
        "2h",
        "upstream: 12ms",
        "upstream_response_time=12ms",
        "12ms 13ms",
        "5s-cache",
        "request_id=0.012",
    ],
)
def test_an_ambiguous_number_is_no_duration(tail):
    form, line = read(f"{COMBINED} {tail}")
    assert (form, line.response_us, line.duration, line.status) == ("combined", None, "", 200)


@pytest.mark.parametrize(
    ("form", "line", "response_us"),
    [
        ("combined-s", f"{COMBINED} 0.012", 12_000),
        ("combined-s", f"{HEAD} 3", 3_000_000),
        ("combined-ms", f"{COMBINED} 12", 12_000),
        ("combined-us", f"{COMBINED} 12345", 12_345),
        ("combined-us", f"{COMBINED} -", None),
        ("combined-us", COMBINED, None),
        ("combined-s", f'{COMBINED} "10.0.0.1, 10.0.0.2" 0.012', 12_000),
        ("combined-s", f'{COMBINED} "0.012"', 12_000),
        ("combined-s", f"{COMBINED} rt=0.012 urt=0.011", 12_000),
        ("gunicorn", COMBINED, None),
        ("caddy-ms", CADDY % ("1413295200.5", "25"), 25_000),
        ("caddy-ns", CADDY % ("1413295200.5", "1500000"), 1500),
    ],
)
def test_a_format_with_a_unit_reads_the_number_in_that_unit(form, line, response_us):
    assert read(line, form)[1].response_us == response_us


@pytest.mark.parametrize("request_text", ["-", "", "\\x16\\x03\\x01\\x02", "MGLNDD_192.0.2.1_443", "\\n", "GET"])
def test_a_request_that_is_not_http_has_no_method(request_text):
    form, line = read(HEAD.replace(REQUEST, f'"{request_text}"').replace(" 200 ", " 400 "))
    assert (form, line.method, line.target, line.status) == ("combined", "", "", 400)


ACCESS = HEAD.replace('"', '\\"')


@pytest.mark.parametrize(
    "line",
    [
        f'{{"log":"{ACCESS}\\n","stream":"stdout","time":"2026-11-26T14:43:04.123456789Z"}}',
        f"<34>1 2026-11-26T14:43:04.003Z web nginx 8710 - - {HEAD}",
        f'<34>1 2026-11-26T14:43:04.003Z web nginx - ID47 [x@1 a="b"] {HEAD}',
        f'<34>1 2026-11-26T14:43:04.003Z web nginx - ID47 [x@1 a="b"][y@2 c="d"] {HEAD}',
        f"<190>Nov 26 14:43:04 web nginx: {HEAD}",
        f"Nov 26 14:43:04 web nginx[812]: {HEAD}",
        f"2026-11-26T14:43:04.123456+00:00 web nginx[812]: {HEAD}",
        f"2026-11-26T14:43:04.123456789Z stdout F {HEAD}",
        f"2026-11-26T14:43:04.123456789Z {HEAD}",
        f"web-1  | {HEAD}",
        f'{{"MESSAGE":"{ACCESS}","__REALTIME_TIMESTAMP":"1413295200000000","_PID":"7"}}',
        f'{{"log":"<190>Nov 26 14:43:04 web nginx: {ACCESS}\\n","stream":"stderr"}}',
    ],
)
def test_an_envelope_does_not_change_the_request_of_a_line(line):
    assert read(line) == read(HEAD)


TIMELESS = 'INFO:     127.0.0.1:5000 - "GET /u HTTP/1.1" 200 OK'


@pytest.mark.parametrize(
    ("line", "zone", "time"),
    [
        (f"Nov 26 14:43:04 web uvicorn[8]: {TIMELESS}", UTC, "2026-11-26T14:43:04+00:00"),
        (f"Dec 31 14:43:04 web uvicorn[8]: {TIMELESS}", UTC, "2025-12-31T14:43:04+00:00"),
        (f"Nov 26 14:43:04 web uvicorn[8]: {TIMELESS}", ZoneInfo("Europe/Berlin"), "2026-11-26T14:43:04+01:00"),
        (f"2026-11-26T14:43:04.5Z stdout F {TIMELESS}", UTC, "2026-11-26T14:43:04.500+00:00"),
        (f"<34>1 2026-11-26T14:43:04.5+01:00 web app - - - {TIMELESS}", UTC, "2026-11-26T14:43:04.500+01:00"),
    ],
)
def test_a_line_without_a_time_gets_the_time_of_its_envelope(line, zone, time):
    assert read(line, zone=zone)[1].time_us == round(datetime.fromisoformat(time).timestamp() * 1e6)


def test_times_without_a_zone_are_in_the_chosen_zone():
    berlin = ZoneInfo("Europe/Berlin")
    for line in (
        '2014-10-14 16:00:00,5 - 203.0.113.9:1 - "GET / HTTP/1.1" 200 OK',
        '[14/Oct/2014 16:00:00] "GET / HTTP/1.1" 200 12',
        UWSGI.replace("14:00:00", "16:00:00"),
    ):
        assert read(line, zone=berlin)[1].time_us // 1_000_000 == TIME_US // 1_000_000


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("uvicorn", "INFO:     Application startup complete."),
        ("runserver", "127.0.0.1 - - [26/Nov/2026 15:47:11] code 404, message File not found"),
        ("combined", "[2026-11-26 15:47:14 +0000] [30224] [INFO] Starting gunicorn 27.0.1"),
        ("granian", "[INFO] Started worker-1"),
        ("runserver", " * Running on http://127.0.0.1:5000"),
        ("uvicorn", 'INFO:     127.0.0.1:5 - "WebSocket /ws" [accepted]'),
        ("caddy", '{"level":"info","ts":1,"logger":"tls","msg":"cleaning"}'),
        ("traefik-json", '{"level":"info","msg":"Configuration loaded","time":"2014-10-14T14:00:00Z"}'),
        ("nginx-json", '{"level":"info","msg":"x"}'),
        ("haproxy", HAPROXY.format(-1, -1)),
        ("envoy", ENVOY.format("0 UF")),
        ("iis", "#Software: x"),
    ],
)
def test_a_line_without_a_request_is_none(form, line):
    assert read(line, form)[1] is None


@pytest.mark.parametrize(
    ("form", "line", "reason"),
    [
        ("combined", "nonsense", "it is not in the combined format"),
        ("combined", HEAD.replace(" 200 ", " 000 "), "its status is none of HTTP"),
        ("combined", HEAD.replace("Oct", "Foo"), "its time cannot be read"),
        ("combined", HEAD.replace("14/Oct", "99/Oct"), "its time cannot be read"),
        ("combined-us", f"{COMBINED} abc", "no number follows the line"),
        ("combined-s", f"{COMBINED} 0.012 0.011", "more than one number follows"),
        ("caddy", '{"status": 200, "request": {"uri": 5, "method": []}, "ts": 1413295200}', "its method is no text"),
        ("caddy", "{", "it is no JSON object"),
        ("caddy", CADDY % ("1413295200.5", '"soon"'), "its duration cannot be read"),
        ("caddy", CADDY % ('"never"', "0.1"), "its time cannot be read"),
        ("alb", ALB.replace(" 200 200 ", " - - "), "it has no status"),
        ("iis", "2014-10-14 14:00:00 10.0.0.5 GET / - 443 - 1.2.3.4 - - 200 0 0 41", "no #Fields line stands before"),
        ("uvicorn", f"web 2014-10-14 14:00:00 2014-10-14 15:00:00 {TIMELESS}", "more than one time"),
    ],
)
def test_the_error_of_an_unreadable_line_has_a_reason_and_no_text_of_the_line(form, line, reason):
    with pytest.raises(BadLine, match=reason):
        read(line, form)


def test_unknown_lines_have_no_format():
    assert detect(["hello", "world"], LATEST) is None


def test_a_few_lines_more_do_not_make_a_general_format_win():
    lines = [TRAEFIK.format(COMBINED)] * 10 + [COMBINED] * 3
    assert detect(lines, LATEST) == "traefik"
    assert open_reader("traefik", LATEST).read(COMBINED).response_us is None


@pytest.mark.parametrize("text", ["0.0031", "12.3456"])
def test_a_request_time_in_another_form_than_nginx_s_is_no_duration(text):
    line = f'{{"time":"2014-10-14T14:00:00Z","request":"GET / HTTP/1.1","status":200,"request_time":{text}}}'
    assert read(line)[1].response_us is None


def test_every_automatic_format_has_a_case_here():
    assert {form.name for form in FORMATS.values() if form.is_automatic} == {form for form, _, _ in CASES}
