"""`apimetry import access-log` against real services: every line once, whatever it comes as."""

import gzip
import json
import os
import signal
import subprocess
import time

import pytest

from tests.support.processes import APIMETRY, BOOTSTRAP, READ_KEY, WRITE_KEY, count_by, running, total

DAY_S = 86_400


def log_line(number, time_s, status=200):
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(time_s))
    return (
        f'192.0.2.7 - - [{stamp}] "GET /items/{number}?q=x HTTP/1.1" {status} 512 "-" "curl/8" 0.{number % 1000:03}\n'
    )


def lines_of(count, start_s=None, step_s=7):
    """Lines of the last days, some of which are alike to the letter."""
    start_s = int(time.time()) - 3 * DAY_S if start_s is None else start_s
    return [log_line(number // 2 % 500, start_s + number // 2 * step_s) for number in range(count)]


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


@pytest.fixture
def importing(serve, request):
    """Runs the import under a source of its own, and returns what it says."""
    source = request.node.name

    def run(*arguments, status=0, stdin=b"", **environment):
        ran = subprocess.run(
            [str(APIMETRY), "import", "access-log", *map(str, arguments), "--json", "--source", source],
            input=stdin,
            capture_output=True,
            env={**os.environ, **environment_of(serve), **environment},
            timeout=100,
            check=False,
        )
        assert ran.returncode == status, (ran.stdout, ran.stderr)
        return json.loads(ran.stdout) if ran.stdout else ran.stderr.decode()

    run.source = source
    run.stored = lambda: count_by(serve.query_url, "source").get(source, 0)
    return run


def environment_of(serve):
    return {
        "APIMETRY_COLLECTOR_URL": serve.collector_url,
        "APIMETRY_QUERY_URL": serve.query_url,
        "APIMETRY_WRITE_KEY": WRITE_KEY,
        "APIMETRY_READ_KEY": READ_KEY,
    }


def test_a_log_comes_in_once_as_a_copy_as_gzip_cut_in_pieces_and_grown(importing, tmp_path):
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


def test_an_import_that_was_killed_is_finished_by_the_next(importing, serve, tmp_path):
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


def test_what_a_line_says_is_what_is_stored(importing, serve, tmp_path):
    log = tmp_path / "access.log"
    start_s = int(time.time()) - DAY_S
    log.write_text(log_line(7, start_s) + log_line(12, start_s, 404) + log_line(9, start_s))
    assert importing(log, "--user-agents")["imported"] == 3
    only = {"include": f"source:{importing.source}"}
    assert count_by(serve.query_url, "route", **only) == {"/items/{id}": 2, "": 1}
    assert count_by(serve.query_url, "url", **only) == {
        "/items/7?q=***": 1,
        "/items/12?q=***": 1,
        "/items/9?q=***": 1,
    }
    assert total(serve.query_url, aggregation="max", **only) == 12_000


def test_what_is_too_old_or_unreadable_is_counted_and_never_stops_the_rest(importing, tmp_path):
    log = tmp_path / "access.log"
    now_s = int(time.time())
    good = log_line(1, now_s - 60)
    log.write_bytes(
        (good + log_line(2, now_s - 4000 * DAY_S) + log_line(3, now_s + 3 * DAY_S)).encode()
        + b"\xff\xfe nonsense\n\n"
        + b"x" * 100_000
        + b"\n"
        + good.replace("GET /items/1?q=x HTTP/1.1", "\\x16\\x03").encode()
    )
    result = importing(log, "--format", "combined-s")
    assert result["imported"] == 1
    assert (result["older_than_retention"], result["in_the_future"], result["unreadable"]) == (1, 1, 3)
    assert [example["line"] for example in result["examples"]] == [4, 6, 7]
    assert result["lines"] == 6


def test_a_dry_run_says_what_would_come_and_sends_nothing(importing, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("".join(lines_of(100)))
    assert importing(log, "--dry-run")["imported"] == 100
    assert importing.stored() == 0


def test_a_damaged_gzip_brings_what_is_whole_and_fails(importing, tmp_path):
    log = tmp_path / "access.log.gz"
    packed = gzip.compress("".join(lines_of(5000)).encode())
    log.write_bytes(packed[: len(packed) // 2])
    result = importing(log, status=1)
    assert 0 < result["imported"] < 5000
    assert importing.stored() == result["imported"]


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "message"),
    [
        (["absent.log"], {}, 2, "absent.log: No such file"),
        (["/dev/null", "--timezone", "Mars/Base"], {}, 2, "'Mars/Base' is not the name of a time zone"),
        (["/dev/null"], {"APIMETRY_READ_KEY": ""}, 2, "no read key: give --read-key or set APIMETRY_READ_KEY"),
        (["/dev/null"], {"APIMETRY_READ_KEY": WRITE_KEY}, 1, "Forbidden: Only Read and Admin keys"),
    ],
)
def test_wrong_usage_and_refusals_are_one_sentence(importing, arguments, environment, status, message):
    assert message in importing(*arguments, status=status, **environment)


def test_a_log_of_which_no_line_can_be_read_fails(importing, tmp_path):
    log = tmp_path / "uvicorn.log"
    log.write_text('INFO:     127.0.0.1:5000 - "GET /u HTTP/1.1" 200 OK\n' * 3)
    result = importing(log, status=1)
    assert (result["lines"], result["unreadable"], result["imported"]) == (3, 3, 0)


def test_a_log_of_no_known_format_says_which_there_are(importing, tmp_path):
    log = tmp_path / "messages"
    log.write_text("hello\nworld\n")
    assert importing(log, status=1)["imported"] == 0
