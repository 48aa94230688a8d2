"""The event of a line: its private data, its id, and its route."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from apimetry.cli.access_logs.events import EventOptions, LineIds, is_plausible, make_event
from apimetry.cli.access_logs.lines import LogLine
from apimetry.cli.access_logs.reading import open_reader
from apimetry.cli.access_logs.routes import Pending, Routes
from apimetry.collector.formats.guessed_routes import guess_route

LATEST = datetime(2026, 11, 26, tzinfo=timezone.utc)
HEAD = '203.0.113.9 - alice [14/Oct/2014:16:00:00 +0200] "GET /v1/scores/7?key=secret HTTP/1.1" 200 2326'
COMBINED = f'{HEAD} "https://example.org/" "curl/8"'


def event_of(text, **options):
    line = open_reader("combined", LATEST).read(text)
    return make_event(line, line.time_us, "id", EventOptions("web", **options))


def test_private_data_is_kept_only_with_its_option():
    event = event_of(COMBINED)
    assert (event["url"], event["route"]) == ("/v1/scores/7?key=***", "/v1/scores/{id}")
    assert event["client_ip"] == ""
    assert not {"consumer_id", "user_agent"} & set(event)
    with_options = event_of(COMBINED, urls="full", client_ip="truncated", users=True, user_agents=True)
    assert (with_options["url"], with_options["client_ip"]) == ("/v1/scores/7?key=secret", "203.0.113.0")
    assert (with_options["consumer_id"], with_options["user_agent"]) == ("alice", "curl/8")


def test_an_unknown_duration_is_left_out_and_not_0():
    assert "response_us" not in event_of(COMBINED)
    assert event_of(f"{COMBINED} rt=0.000")["response_us"] == 0


@pytest.mark.parametrize(
    ("request_text", "method", "route", "data"),
    [
        ("GET /a HTTP/1.1", "GET", "/a", {"import_id": "id"}),
        ("-", "", "(unmatched)", {"import_id": "id"}),
        ("\\x16\\x03\\x01", "", "(unmatched)", {"import_id": "id"}),
        ("HACK /a HTTP/1.1", "OTHER", "/a", {"import_id": "id", "method": "HACK"}),
    ],
)
def test_an_unknown_method_is_other_and_an_unreadable_request_has_no_method(request_text, method, route, data):
    event = event_of(HEAD.replace("GET /v1/scores/7?key=secret HTTP/1.1", request_text))
    assert (event["method"], event["route"], event["data"]) == (method, route, data)


def test_a_request_answered_404_has_no_route():
    assert event_of(HEAD.replace(" 200 ", " 404 "))["route"] == "(unmatched)"


def test_a_host_in_the_target_is_no_part_of_url_and_route():
    event = event_of(HEAD.replace("GET /v1", "GET http://host:80/v1"))
    assert (event["url"], event["route"]) == ("/v1/scores/7?key=***", "/v1/scores/{id}")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/v1/scores/7/", "/v1/scores/{id}/"),
        ("/v2/6f9619ff-8b86-d011-b42d-00cf4fc964ff/x", "/v2/{id}/x"),
        ("/blobs/0123456789abcdef01", "/blobs/{id}"),
        ("/a-quite-long-name-of-a-page", "/a-quite-long-name-of-a-page"),
        ("/a-quite-long-name-of-page-7", "/{id}"),
        ("/users/someone@example.org/orders", "/users/{id}/orders"),
        ("/login/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "/login/{id}"),
        ("/reset-password/abc123def", "/reset-password/{id}"),
        ("/x;jsessionid=ABCDEF0123456789/y", "/{id}/y"),
    ],
)
def test_a_route_is_guessed_from_the_masked_path(path, route):
    assert guess_route(path) == route


def test_a_very_long_path_is_cut_before_its_route_is_guessed():
    assert len(guess_route("/a" * 100_000)) <= 1024
    assert guess_route("/" + "a" * 100_000) == ""


def test_equal_lines_of_an_hour_have_different_ids_and_a_copy_has_the_same_ids():
    first, copy = LineIds(), LineIds()
    names = [first.name(b"x", 5), first.name(b"x", 5), first.name(b"y", 5)]
    assert len(set(names)) == 3
    assert [copy.name(b"x", 5), copy.name(b"x", 5), copy.name(b"y", 5)] == names


def test_the_id_of_a_line_without_a_time_depends_on_all_lines_before_it():
    def names(*lines, salt=b""):
        ids = LineIds(salt)
        for line in lines:
            ids.pass_by(line)
            yield ids.name_by_place()

    first = list(names(b"a", b"a", b"b"))
    assert len(set(first)) == 3
    assert list(names(b"a", b"a", b"b", b"a"))[:3] == first
    assert not set(names(b"c", b"a", b"b")) & set(first)
    assert not set(names(b"a", b"a", b"b", salt=b"x")) & set(first)


@pytest.mark.parametrize(
    ("response_us", "plausible"), [(0, True), (86_400_000_000, True), (86_400_000_001, False), (-1, False)]
)
def test_a_response_takes_at_most_a_day(response_us, plausible):
    assert is_plausible(response_us) is plausible


def pending(route, status, name="x"):
    return Pending({"route": route, "status_code": status}, name, 0)


def sent_routes(routes, *events):
    return [sent.event["route"] for event in events for sent in routes.take(pending(*event))]


def test_the_route_of_a_single_failed_request_is_unmatched():
    routes = Routes()
    assert sent_routes(routes, *((f"/{number}.php", 403) for number in range(300))) == []
    assert {released.event["route"] for released in routes.release()} == {"(unmatched)"}
    assert routes.release() == []


def test_a_route_is_accepted_after_one_success_or_two_requests():
    routes = Routes({"/known"})
    assert sent_routes(routes, ("/known", 500)) == ["/known"]
    assert sent_routes(routes, ("/a", 500), ("/a", 200), ("/a", 500)) == ["/a", "/a", "/a"]
    assert sent_routes(routes, ("/b", 500), ("/b", 500)) == ["/b", "/b"]
    assert sent_routes(routes, ("(unmatched)", 404)) == ["(unmatched)"]


def test_the_number_of_held_events_is_bounded():
    routes = Routes()
    released = sent_routes(routes, *((f"/{number}", 400) for number in range(10_003)))
    assert released == ["(unmatched)"] * 3


def test_a_long_method_is_bounded_in_every_format():
    event = make_event(LogLine(0, "X" * 500, "/", 200), 0, "id", EventOptions("web"))
    assert event["method"] == "OTHER"
    assert len(event["data"]["method"]) <= 64
