"""The shell commands of README and docs, run as they are written, one after the other, in one shell.

Blocks marked `sh` run here. Blocks marked `bash` need what only a reader has: a mail server, an account elsewhere,
or a stopped collector.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.services.processes import post_events, running, wait_for_total

ROOT = Path(__file__).parent.parent.parent
# In the order in which a reader would need them; deletion comes last.
PAGES = ("README", "docs/import-export", "docs/settings", "docs/alerts", "docs/operations", "docs/deleting-data")
# These start everything, and are walked by what follows them.
STARTS = ("make run\n",)
# The places outside the folder that the commands read.
LOGS = ("/var/log/nginx/", "/var/log/apache2/")


def blocks():
    text = "\n".join((ROOT / f"{page}.md").read_text() for page in PAGES)
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if block not in STARTS]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each block prints, in a folder as `make run` leaves it, right after a first request."""
    folder = tmp_path_factory.mktemp("checkout")
    data = folder / "apimetry-data"
    data.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    logs = write_logs(folder)
    with running("serve", data_dir=data) as service:
        assert service.query_url
        service.wait_until((data / "addresses.json").exists, "addresses")
        keys = json.loads((data / "credentials.json").read_text())
        event = {"timestamp": time.time(), "method": "GET", "url": "/v1/scores/7", "route": "/v1/scores/{identity}",
                 "function": "show_score", "response_us": 1250, "status_code": 200}  # fmt: skip
        post_events(service.collector_url, [event], keys["write_key"])
        wait_for_total(service, service.query_url, 1, keys["read_key"])
        return run(folder, logs)


def write_logs(folder):
    """Write the logs that README's commands read: nginx's, and one with a line of each format that they name."""
    logs = folder / "logs"
    logs.mkdir()
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    (logs / "access.log").write_text(f'192.0.2.1 - - [{stamp}] "GET /items/7 HTTP/1.1" 200 5 "-" "curl/8"\n')
    for folder_name, line in (
        ("nginx", f'192.0.2.1 [{stamp}] "GET /items/8 HTTP/1.1" 200 0.012\n'),
        ("apache2", f'192.0.2.1 - - [{stamp}] "GET /items/9 HTTP/1.1" 200 5 1200\n'),
    ):
        (logs / folder_name).mkdir()
        (logs / folder_name / "timed.log").write_text(line)
    (logs / "access.log").rename(logs / "nginx" / "access.log")
    (folder / "access.log").write_text(
        f'192.0.2.1 [{stamp}] "GET /items/8 HTTP/1.1" 200 0.012\n'
        f'192.0.2.1 - - [{stamp}] "GET /items/9 HTTP/1.1" 200 5 12000\n'
    )
    return logs


def run(folder, logs):
    mark = "=== end of a block ==="
    # An HTTP error is a failure here, which a person would see in the answer.
    lines = ["set -euo pipefail", 'curl() { command curl --fail-with-body --show-error "$@"; }']
    for block in blocks():
        lines += [
            re.sub("|".join(LOGS), lambda match: f"{logs}/{Path(match[0]).name}/", block),
            f'echo; echo "{mark}"',
        ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("APIMETRY_")}
    ran = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, (ran.stdout.split(mark)[-1], ran.stderr[-2000:])
    return dict(zip(blocks(), ran.stdout.split(mark), strict=False))


def output_of(printed, command):
    (text,) = (text for block, text in printed.items() if command in block)
    return text


def test_every_command_runs_as_it_is_written(printed):
    assert len(printed) == len(blocks()) > 5


def test_the_first_question_shows_the_first_request(printed):
    answer = json.loads(output_of(printed, "granularity=minute&group=route"))
    ((_, count),) = answer["groups"]["/v1/scores/{identity}"]
    assert count == 1


def test_the_history_of_a_log_is_added(printed):
    for command in ("access-log /var/log/nginx/access.log", "nginx/timed.log --log-format"):
        assert re.search(r"^imported +1$", output_of(printed, command), re.MULTILINE)


def test_an_application_a_key_and_an_alert_are_made_and_listed(printed):
    assert "Shop" in output_of(printed, "apimetry applications create")
    assert "Checkout fails" in output_of(printed, "apimetry alerts create")


def test_the_commands_name_no_application_that_a_reader_does_not_have():
    text = "\n".join(blocks())
    assert not re.search(r"\b(ID|KEY_ID|ALERT_ID|JOB_ID)\b", text)
