"""`apimetry top` and `apimetry usage` print what the service answers, once or again and again."""

from __future__ import annotations

import io
import json
import time

import pytest
from click.testing import CliRunner
from rich.console import Console

from apimetry.cli.main import main
from apimetry.cli.tables import table
from apimetry.cli.usage import TIMEFRAMES
from apimetry.cli.watching import show
from apimetry.query_api.usage import params
from tests.support.services.http_server import answering
from tests.support.services.processes import BOOTSTRAP, READ_KEY, post_events, running, wait_for_total


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a command about 3 requests for /cart, of which one failed, and one for /basket."""
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        requests = [("/cart", 200, "acme"), ("/cart", 503, "acme"), ("/cart", 200, ""), ("/basket", 200, "zen")]
        events = [
            {"timestamp": time.time() - 5, "method": "GET", "url": url, "route": url, "response_us": 2000,
             "status_code": status, "consumer_id": consumer}
            for url, status, consumer in requests
        ]  # fmt: skip
        post_events(service.collector_url, events)
        wait_for_total(service, service.query_url, len(events))

        def run(*arguments):
            environment = {"APIMETRY_QUERY_URL": service.query_url, "APIMETRY_READ_KEY": READ_KEY}
            return CliRunner().invoke(main, arguments, env=environment)

        yield run


def lines(ran):
    assert ran.exit_code == 0, ran.output
    return [line.split() for line in ran.stdout.splitlines()]


def test_top_has_a_row_for_each_route_or_pair(run):
    printed = lines(run("top", "--limit", "1"))
    assert printed[0] == ["4", "requests,", "1", "errors", "in", "3,600", "s;", "1", "of", "2", "rows"]
    assert ["/cart", "3", "1", "33.3", "2.0", "2.0", "75.0"] in printed
    printed = lines(run("top", "--by", "consumer_id,route", "--include", "status_code:2xx", "--sort", "requests"))
    assert sorted(line[:3] for line in printed if line and line[-1] == "33.3") == [
        ["-", "/cart", "1"],
        ["acme", "/cart", "1"],
        ["zen", "/basket", "1"],
    ]


def test_usage_has_the_totals_and_their_parts(run):
    printed = lines(run("usage", "--timeframe", "1h", "--exclude", "route:/basket"))
    assert printed[4:7] == [["requests", "3"], ["errors", "1"], ["success", "%", "66.7"]]
    assert ["/cart", "3", "66.7", "2.0", "2.0"] in [line[:5] for line in printed]
    assert ["acme", "2", "66.7"] in printed
    assert ["server_error", "1", "100.0"] in printed
    assert ["Warnings"] in printed


def test_json_is_the_services_answer(run):
    assert json.loads(run("top", "--by", "method", "--json").stdout)["rows"][0]["key"] == ["GET"]
    assert json.loads(run("usage", "--json").stdout)["usage"]["totalRequests"] == 4


@pytest.mark.parametrize("arguments", [("top", "--by", "colour"), ("usage", "--include", "colour:red")])
def test_a_wrong_field_is_the_services_message(run, arguments):
    ran = run(*arguments)
    assert ran.exit_code == 1
    assert "is 'colour" in ran.stderr
    assert "allowed" in ran.stderr


@pytest.mark.parametrize("command", ["top", "usage"])
def test_another_service_is_told_apart(command):
    with answering(lambda _: (200, {}, b'{"by": 1, "usage": 2}')) as server:
        ran = CliRunner().invoke(main, [command, "--query-url", server.url, "--read-key", READ_KEY])
    assert ran.exit_code == 1
    assert "but not as apimetry's query service" in ran.stderr


def interrupted_after(pauses):
    pauses_left = iter([None] * pauses)

    def sleep(_):
        try:
            next(pauses_left)
        except StopIteration:
            raise KeyboardInterrupt from None

    return sleep


def watched(as_json, console=None):
    numbers = iter(range(100))

    def picture(answer):
        return table("t", ["n"], [[answer["n"]]], texts=0)

    ask = lambda: {"n": next(numbers)}  # noqa: E731 - one answer after the other
    show(ask, picture, as_json=as_json, watch=True, console=console, sleep=interrupted_after(2))


def test_watching_prints_a_line_of_json_for_each_answer_until_interrupted(capsys):
    watched(as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_watching_in_a_pipe_prints_every_table(capsys):
    watched(as_json=False)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()].count("n") == 3


def test_watching_on_a_terminal_replaces_the_table():
    screen = io.StringIO()
    watched(False, Console(file=screen, force_terminal=True, width=40, height=20, _environ={}))
    assert screen.getvalue().count("\x1b[2K") > 4


def test_a_narrow_table_breaks_texts_and_no_number():
    screen = io.StringIO()
    shown = table("t", ["route", "requests", "errors"], [["/a/long/route/of/an/api", 1_234_567, 89]])
    Console(file=screen, width=36).print(shown)
    assert "1,234,567" in screen.getvalue()
    assert "requests" in screen.getvalue()
    assert "/a/long/route/of/an/api" not in screen.getvalue()


def test_foreign_text_in_a_table_is_text():
    screen = io.StringIO()
    hostile = "a\x1b[2J\x1b]0;t\x07\n[red]b[/red]"
    Console(file=screen, force_terminal=True, width=80).print(table(hostile, [hostile, "n"], [[hostile, 12_345]]))
    text = screen.getvalue()
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text
    assert "[red]b[/red]" in text
    assert "12,345" in text


def test_the_timeframes_are_the_services():
    assert set(TIMEFRAMES) == set(params.TIMEFRAMES)
