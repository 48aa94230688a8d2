from datetime import timezone
from zoneinfo import ZoneInfo

import pytest

from apimetry.cli.access_logs.events import Choices, LineIds, guess_route, make_event
from apimetry.cli.access_logs.formats import detect, parser_of
from apimetry.cli.access_logs.lines import BadLine, LogLine

UTC = timezone.utc
HEAD = '203.0.113.9 - alice [14/Oct/2014:16:00:00 +0200] "GET /v1/scores/7?key=secret HTTP/1.1" 200 2326'
COMBINED = f'{HEAD} "https://example.org/" "Mozilla/5.0 (X11) \\"quoted\\""'
REQUEST = {
    "time_us": 1_413_295_200_000_000,
    "method": "GET",
    "target": "/v1/scores/7?key=secret",
    "status": 200,
    "response_bytes": 2326,
    "address": "203.0.113.9",
    "user": "alice",
}
AGENT = 'Mozilla/5.0 (X11) "quoted"'
CADDY = (
    '{"level":"info","ts":1413295200.5,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":'
    '"203.0.113.9","remote_port":"4","client_ip":"203.0.113.9","proto":"HTTP/2.0","method":"GET","host":"x",'
    '"uri":"/v1/scores/7?key=secret","headers":{"User-Agent":["curl/8"]}},"bytes_read":5,"user_id":"alice",'
    '"duration":%s,"size":2326,"status":200,"resp_headers":{}}'
)


@pytest.mark.parametrize(
    ("line", "form", "expected"),
    [
        (HEAD, "combined", {}),
        (COMBINED, "combined", {"user_agent": AGENT}),
        (f"{COMBINED} 0.012", "combined-s", {"user_agent": AGENT, "response_us": 12_000}),
        (f'{COMBINED} rt=0.012 uct="0.001"', "combined-s", {"user_agent": AGENT, "response_us": 12_000}),
        (f"{COMBINED} 3", "combined-s", {"user_agent": AGENT, "response_us": 3_000_000}),
        (f"{COMBINED} 12345", "combined-us", {"user_agent": AGENT, "response_us": 12_345}),
        (f"{COMBINED} 0/12345", "combined-s", {"user_agent": AGENT, "response_us": 12_345}),
        (f"shop.example:443 {COMBINED}", "combined", {"user_agent": AGENT}),
        (COMBINED.replace("2326", "-"), "combined", {"user_agent": AGENT, "response_bytes": 0}),
        (
            COMBINED.replace("/7?", "/\\xc3\\xbc?"),
            "combined",
            {"user_agent": AGENT, "target": "/v1/scores/ü?key=secret"},
        ),
        (
            CADDY % "0.25",
            "caddy",
            {
                "time_us": 1_413_295_200_250_000,
                "response_us": 250_000,
                "request_bytes": 5,
                "user_agent": "curl/8",
            },
        ),
        (
            CADDY % '"1.5ms"',
            "caddy",
            {"time_us": 1_413_295_200_498_500, "response_us": 1500, "request_bytes": 5, "user_agent": "curl/8"},
        ),
        (
            '2014-10-14 14:00:00,123 INFO:     203.0.113.9:51234 - "GET /v1/scores/7?key=secret HTTP/1.1" 200 OK',
            "uvicorn",
            {"time_us": 1_413_295_200_123_000, "response_bytes": None, "user": ""},
        ),
        (
            '2014-10-14T16:00:00+02:00 uvicorn[3]: 203.0.113.9:5 - "GET /v1/scores/7?key=secret HTTP/1.1" 200',
            "uvicorn",
            {"response_bytes": None, "user": ""},
        ),
    ],
)
def test_a_line_is_detected_and_read(line, form, expected):
    assert detect([line], UTC) == form
    assert parser_of(form, UTC)(line) == LogLine(**{**REQUEST, **expected})


def test_small_whole_numbers_are_seconds_and_larger_ones_microseconds():
    assert detect([f"{COMBINED} 0", f"{COMBINED} 2"], UTC) == "combined-s"
    assert detect([f"{COMBINED} 0", f"{COMBINED} 480"], UTC) == "combined-us"


def test_a_time_without_a_zone_is_of_the_given_one():
    line = '2014-10-14 16:00:00,5 - 203.0.113.9:1 - "GET / HTTP/1.1" 200 OK'
    assert parser_of("uvicorn", ZoneInfo("Europe/Berlin"))(line).time_us == 1_413_295_200_500_000


def test_what_is_about_no_request_is_none():
    assert parser_of("uvicorn", UTC)("INFO:     Application startup complete.") is None
    assert parser_of("caddy", UTC)('{"level":"info","ts":1,"logger":"tls","msg":"cleaning"}') is None


@pytest.mark.parametrize(
    ("line", "form", "reason"),
    [
        ("nonsense", "combined", "not in the combined format"),
        (HEAD.replace("GET /v1/scores/7?key=secret HTTP/1.1", "\\x16\\x03\\x01"), "combined", "not one of HTTP"),
        (HEAD.replace(" 200 ", " 000 "), "combined", "0 is not a status"),
        (HEAD.replace("Oct", "Foo"), "combined", "time cannot be read: '14/Foo"),
        ('{"status": 200, "request": 5}', "caddy", "not an access log entry"),
        ("{", "caddy", "not an access log entry"),
        ('INFO:     1.2.3.4:5 - "GET / HTTP/1.1" 200 OK', "uvicorn", "has no time"),
    ],
)
def test_a_bad_line_says_why(line, form, reason):
    with pytest.raises(BadLine, match=reason):
        parser_of(form, UTC)(line)


def test_unknown_lines_have_no_format_and_timeless_ones_of_uvicorn_have_theirs():
    assert detect(["hello", "world"], UTC) is None
    assert detect(['INFO:     1.2.3.4:5 - "GET / HTTP/1.1" 200 OK'], UTC) == "uvicorn"


def test_nothing_private_is_kept_unless_asked_for():
    line = parser_of("combined", UTC)(COMBINED)
    event = make_event(line, "id", Choices("web"))
    assert event["url"] == "/v1/scores/7?key=***"
    assert event["client_ip"] == ""
    assert not {"consumer_id", "user_agent"} & set(event)
    asked = make_event(line, "id", Choices("web", "full", "truncated", users=True, user_agents=True))
    assert (asked["url"], asked["client_ip"]) == ("/v1/scores/7?key=secret", "203.0.113.0")
    assert (asked["consumer_id"], asked["user_agent"]) == ("alice", AGENT)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/v1/scores/7/", "/v1/scores/{id}/"),
        ("/v2/6f9619ff-8b86-d011-b42d-00cf4fc964ff/x", "/v2/{id}/x"),
        ("/blobs/0123456789abcdef01", "/blobs/{id}"),
        ("/a-quite-long-name-of-a-page", "/a-quite-long-name-of-a-page"),
        ("http://host/items/5", "/items/{id}"),
    ],
)
def test_a_route_is_guessed_from_a_path(path, route):
    assert guess_route(path) == route


def test_equal_lines_of_an_hour_have_ids_of_their_own_that_a_copy_repeats():
    first, copy = LineIds(), LineIds()
    names = [first.name(b"x", 5), first.name(b"x", 5), first.name(b"y", 5)]
    assert len(set(names)) == 3
    assert [copy.name(b"x", 5), copy.name(b"x", 5), copy.name(b"y", 5)] == names
