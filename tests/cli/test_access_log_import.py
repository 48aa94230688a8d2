"""`apimetry import access-log` against real services: every line is imported once, in every form."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

from apimetry.cli.access_logs.command import import_
from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY
from tests.support.services.processes import (
    APIMETRY,
    APPLICATION,
    BOOTSTRAP,
    count_by,
    get_json,
    running,
    timeseries,
    total,
)

DAY_S = 86_400


def log_line(number, time_s, status=200):
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(time_s))
    return (
        f'192.0.2.7 - - [{stamp}] "GET /items/{number}?q=x HTTP/1.1" {status} 512 "-" "curl/8"'
        f" rt=0.{number % 1000:03}\n"
    )


def lines_of(count, start_s=None, step_s=7):
    """Return lines of the last days; some of them are equal."""
    start_s = int(time.time()) - 3 * DAY_S if start_s is None else start_s
    return [log_line(number // 2 % 500, start_s + number // 2 * step_s) for number in range(count)]


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


@pytest.fixture
def importing(serve, request, capfd, monkeypatch):
    """Run the import with the name of the test as source, and return its output; with `stdin` in a new process."""
    source = request.node.name

    def run(*arguments, status=0, stdin=None, source=source, as_json=True, **environment):
        call = ["access-log", *map(str, arguments), "--source", source, *["--json"] * as_json]
        environment = {**environment_of(serve), **environment}
        if stdin is None:
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                import_.main(call)
            code, (output, errors) = ended.value.code, capfd.readouterr()
        else:
            command = [str(APIMETRY), "import", *call]
            ran = subprocess.run(
                command, input=stdin, env={**os.environ, **environment}, capture_output=True, timeout=100, check=False
            )
            code, output, errors = ran.returncode, ran.stdout.decode(), ran.stderr.decode()
        assert code == status, (output, errors)
        return json.loads(output) if as_json and output else output + errors

    run.source = source
    run.stored = lambda source=source: count_by(serve.query_url, "source").get(source, 0)
    return run


def environment_of(serve):
    return {
        "APIMETRY_COLLECTOR_URL": serve.collector_url,
        "APIMETRY_QUERY_URL": serve.query_url,
        "APIMETRY_WRITE_KEY": WRITE_KEY,
        "APIMETRY_READ_KEY": READ_KEY,
    }


def test_a_log_is_imported_once_as_a_copy_as_gzip_in_pieces_and_after_growth(importing, tmp_path):
    lines = lines_of(5000)
    log = tmp_path / "access.log"
    log.write_text("".join(lines[:4500]))
    first = importing(log)
    assert (first["lines"], first["imported"], first["unreadable"]) == (4500, 4500, 0)
    assert importing.stored() == 4500

    again = importing(log)
    assert (again["imported"], again["already_there"]) == (0, 4500)
    renamed = tmp_path / "access.log.1"
    renamed.write_bytes(log.read_bytes())
    packed = tmp_path / "access.log.2.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    both = importing(renamed, packed)
    assert (both["imported"], both["already_there"]) == (0, 9000)
    assert importing("-", stdin=log.read_bytes())["imported"] == 0

    log.write_text("".join(lines))
    grown = importing(log)
    assert (grown["imported"], grown["already_there"]) == (500, 4500)
    tail = tmp_path / "tail.log"
    tail.write_text("".join(lines[4000:]))
    assert importing(tail)["imported"] == 0
    assert importing.stored() == 5000


def test_the_next_import_finishes_a_killed_import(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("".join(lines_of(30_000, step_s=3)))
    command = [str(APIMETRY), "import", "access-log", str(log), "--source", importing.source]
    process = subprocess.Popen(command, env={**os.environ, **environment_of(serve)})
    serve.wait_until(lambda: importing.stored() > 0 or process.poll() is not None, "first events")
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = importing(log)
    assert rest["imported"] + rest["already_there"] == 30_000
    assert importing.stored() == 30_000
    assert importing(log)["imported"] == 0


def delete_events(serve, start_s, end_s):
    """Delete the events of a time range, and wait for the end of the deletion."""
    path = f"{serve.query_url}/api/applications/{APPLICATION}/events?start={start_s}&end={end_s}"
    request = urllib.request.Request(path, method="DELETE", headers={"X-API-Key": ADMIN_KEY})
    with urllib.request.urlopen(request, timeout=60) as response:
        job = json.load(response)["job"]
    while job["state"] != "done":
        assert job["state"] in ("waiting", "running"), job
        time.sleep(0.05)
        job = get_json(f"{serve.query_url}/api/jobs/{job['id']}", ADMIN_KEY)["job"]


def test_the_same_file_under_another_source_is_imported_and_stored_for_it_too(importing, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("".join(lines_of(45)))
    other = f"{importing.source}-2"
    assert importing(log)["imported"] == 45
    assert importing(log, source=other)["imported"] == 45
    assert (importing.stored(), importing.stored(other)) == (45, 45)


def test_deleted_events_can_be_imported_again_and_again(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    start_s = int(time.time()) - 20 * DAY_S
    log.write_text("".join(lines_of(45, start_s=start_s, step_s=60)))
    assert importing(log)["imported"] == 45
    for _ in range(3):
        delete_events(serve, start_s, start_s + DAY_S)
        assert importing.stored() == 0
        assert importing(log)["imported"] == 45
        assert importing.stored() == 45
        again = importing(log)
        assert (again["imported"], again["already_there"]) == (0, 45)


def test_after_a_partial_deletion_only_the_deleted_part_is_imported_again(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    start_s = (int(time.time()) - 25 * DAY_S) // 3600 * 3600
    log.write_text("".join(lines_of(200, start_s=start_s, step_s=60)))
    assert importing(log)["imported"] == 200
    delete_events(serve, start_s + 600, start_s + 1200)
    result = importing(log)
    assert (result["imported"], result["already_there"]) == (20, 180)
    assert importing.stored() == 200


def test_the_stored_event_has_the_values_of_its_line(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    start_s = int(time.time()) - DAY_S
    log.write_text(log_line(7, start_s) + log_line(12, start_s, 404) + log_line(9, start_s))
    result = importing(log, "--user-agents")
    assert (result["imported"], result["without_duration"]) == (3, 0)
    assert result["durations"] == {"rt (seconds)": 3}
    only = {"include": f"source:{importing.source}"}
    assert count_by(serve.query_url, "route", **only) == {"/items/{id}": 2, "(unmatched)": 1}
    assert count_by(serve.query_url, "url", **only) == {
        "/items/7?q=***": 1,
        "/items/12?q=***": 1,
        "/items/9?q=***": 1,
    }
    assert total(serve.query_url, aggregation="max", **only) == 12_000


def test_a_line_without_a_duration_lowers_no_mean(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    start_s = int(time.time()) - DAY_S
    without = log_line(9, start_s).replace(" rt=0.009", "")
    implausible = log_line(8, start_s).replace("rt=0.008", "rt=1413295200.123")
    labelled = log_line(7, start_s).replace("rt=0.007", "took=90000s")
    log.write_text(log_line(20, start_s) + without + implausible + labelled)
    result = importing(log)
    assert (result["imported"], result["without_duration"], result["implausible_durations"]) == (4, 3, 1)
    only = {"include": f"source:{importing.source}"}
    assert total(serve.query_url, aggregation="mean", **only) == 20_000
    assert total(serve.query_url, **only) == 4


def test_scanners_and_malformed_requests_make_no_routes(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    start_s = int(time.time()) - DAY_S
    noise = [log_line(number, start_s, 403).replace("/items/", "/wp-") for number in range(300)]
    noise = [line.replace("?q=x", ".php") for line in noise]
    broken = log_line(1, start_s, 400).replace("GET /items/1?q=x HTTP/1.1", "-")
    tls = log_line(2, start_s, 400).replace("GET /items/2?q=x HTTP/1.1", "\\x16\\x03\\x01")
    made_up = log_line(3, start_s).replace("GET", "HACK")
    log.write_text("".join([*noise, broken, tls, made_up, log_line(4, start_s), log_line(5, start_s, 500)]))
    assert importing(log)["imported"] == 305
    only = {"include": f"source:{importing.source}"}
    assert count_by(serve.query_url, "route", **only) == {"(unmatched)": 302, "/items/{id}": 3}
    assert count_by(serve.query_url, "method", **only) == {"GET": 302, "": 2, "OTHER": 1}


def test_old_and_unreadable_lines_are_counted_and_do_not_stop_the_import(importing, tmp_path):
    log = tmp_path / "access.log"
    now_s = int(time.time())
    good = log_line(1, now_s - 60)
    log.write_bytes(
        (good + log_line(2, now_s - 4000 * DAY_S) + log_line(3, now_s + 3 * DAY_S)).encode()
        + b"\xff\xfe nonsense\n\n"
        + b"x" * 10_000_000
        + b"\n"
        + (b"[" * 60_000 + b"\n")
        + good.replace(" 200 ", " 999999 ").encode()
    )
    result = importing(log)
    assert result["imported"] == 1
    assert (result["older_than_retention"], result["in_the_future"], result["unreadable"]) == (1, 1, 4)
    assert [example["line"] for example in result["examples"]] == [4, 6, 7, 8]
    assert result["lines"] == 7


def test_a_dry_run_reports_the_import_and_sends_nothing(importing, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("".join(lines_of(100)))
    assert importing(log, "--dry-run")["imported"] == 100
    assert importing.stored() == 0


def test_a_damaged_gzip_is_imported_up_to_the_damage_and_fails(importing, tmp_path):
    log = tmp_path / "access.log.gz"
    packed = gzip.compress("".join(lines_of(5000)).encode())
    log.write_bytes(packed[: len(packed) // 2])
    result = importing(log, status=1)
    assert 0 < result["imported"] < 5000
    assert importing.stored() == result["imported"]


def test_the_report_counts_by_file_and_cannot_control_the_terminal(importing, tmp_path):
    start_s = int(time.time()) - DAY_S
    first, second = tmp_path / "a\x1b[31m.log", tmp_path / "b.log"
    first.write_text(log_line(1, start_s) + "nonsense of someone@example.org\n")
    second.write_text(log_line(2, start_s).replace(" rt=0.002", " 0.002"))
    text = importing(first, second, as_json=False)
    assert "\x1b" not in text
    assert "a\ufffd[31m.log:2: it is not in the combined format" in text
    assert "someone" not in text
    assert "rt (seconds)" in text
    result = importing(first, second)
    assert [(file["format"], file["lines"], file["already_there"]) for file in result["files"]] == [
        ("combined", 2, 1),
        ("combined", 1, 1),
    ]


UVICORN = 'INFO:     127.0.0.1:{} - "GET /u/{} HTTP/1.1" 200 OK\n'


def uvicorn_lines(count):
    return "".join(UVICORN.format(5000 + number % 2, number % 3) for number in range(count))


def test_lines_without_a_time_fail_with_advice(importing, tmp_path):
    log = tmp_path / "uvicorn.log"
    log.write_text("INFO:     Started server process [7]\n" + uvicorn_lines(3))
    assert "--timestamps file-mtime or now" in importing(log, status=1, as_json=False)
    result = importing(log, status=1)
    assert (result["lines"], result["unreadable"], result["not_requests"], result["imported"]) == (4, 3, 1, 0)


def test_a_format_is_detected_after_many_lines_that_are_no_requests(importing, tmp_path):
    log = tmp_path / "app.log"
    log.write_text("INFO:     Loaded one more plugin\n" * 500 + uvicorn_lines(3))
    assert importing(log, "--timestamps", "file-mtime")["imported"] == 3


def test_lines_without_a_time_get_the_time_of_their_file_and_are_imported_once(importing, serve, tmp_path):
    log = tmp_path / "uvicorn.log"
    log.write_text(uvicorn_lines(30))
    written_s = int(time.time()) - DAY_S
    os.utime(log, (written_s, written_s))
    assert importing(log, "--timestamps", "file-mtime")["imported"] == 30
    (points,) = timeseries(serve.query_url, include=f"source:{importing.source}", granularity="second").values()
    assert points == [[written_s, 30]]
    log.write_text(uvicorn_lines(40))
    grown = importing(log, "--timestamps", "file-mtime")
    assert (grown["imported"], grown["already_there"]) == (10, 30)
    assert importing(log, "--timestamps", "now")["already_there"] == 40
    assert importing.stored() == 40


def test_lines_of_a_pipe_are_stored_as_they_arrive(importing, serve):
    command = [str(APIMETRY), "import", "access-log", "-", "--source", importing.source, "--timestamps", "now"]
    environment = {**os.environ, **environment_of(serve)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        for number in range(1, 4):
            process.stdin.write(uvicorn_lines(1).encode())
            process.stdin.flush()
            serve.wait_until(lambda number=number: importing.stored() == number, f"{number} events")
            assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 0
    assert importing.stored() == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_pipe_keeps_the_lines_so_far(importing, serve, number):
    command = [str(APIMETRY), "import", "access-log", "-", "--source", importing.source, "--json"]
    environment = {**os.environ, **environment_of(serve)}
    line = log_line(1, int(time.time()) - 60).encode()
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(line)
        process.stdin.flush()
        serve.wait_until(lambda: importing.stored() == 1, "the first event")
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    assert json.loads(output)["imported"] == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "message"),
    [
        (["absent.log"], {}, 2, "absent.log: No such file"),
        (["a\x1b[31m"], {}, 2, "a\ufffd[31m: No such file"),
        (["/dev/null", "--timezone", "Mars/Base"], {}, 2, "'Mars/Base' is not the name of a time zone"),
        (["/dev/null"], {"APIMETRY_READ_KEY": WRITE_KEY}, 1, "Forbidden: Only Read and Admin keys"),
        (["/dev/null", "--log-format", "hello"], {}, 2, "--log-format: it has neither nginx's variables"),
        (["/dev/null", "--log-format", "$status $request", "--format", "alb"], {}, 2, "are both given"),
        (["-", "--timestamps", "file-mtime"], {}, 2, "standard input has no such time"),
    ],
)
def test_wrong_usage_and_refusals_are_one_sentence(importing, arguments, environment, status, message):
    assert message in importing(*arguments, status=status, **environment)


def test_a_log_of_an_unknown_format_fails_with_advice(importing, tmp_path):
    log = tmp_path / "messages"
    log.write_text("hello\nworld\n")
    assert "no known format reads any of its first lines" in importing(log, status=1, as_json=False)


def test_an_empty_log_is_no_failure(importing):
    assert importing("/dev/null")["lines"] == 0
