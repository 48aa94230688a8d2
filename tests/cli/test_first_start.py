"""The first keys are made once, shown and never lost; other commands read them and the addresses of services."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from urllib.request import Request, urlopen

import pytest

from apimetry.cli.opening import first_keys
from apimetry.cli.settings import Settings
from apimetry.cli.start_error import StartError
from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY
from tests.support.services.processes import APIMETRY, get_json, running


def apimetry(*arguments, cwd, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("APIMETRY_")}
    return subprocess.run(
        [str(APIMETRY), *arguments],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        cwd=cwd,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("service", ["COLLECTOR", "QUERY"])
def test_a_taken_port_at_the_first_start_makes_no_keys_and_the_next_start_shows_them(tmp_path, service):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = {f"APIMETRY_{service}_PORT": str(listener.getsockname()[1])}
        with running("serve", data_dir=tmp_path, **port) as refused:
            assert refused.process.wait(30) == 1
            assert "another program listens there" in refused.output
    assert not (tmp_path / "credentials.json").exists()
    with running("serve", data_dir=tmp_path) as second:
        assert second.query_url
        credentials = json.loads((tmp_path / "credentials.json").read_text())
        second.wait_until(lambda: f"read_key     {credentials['read_key']}" in second.output, "the keys")
        code = re.search(
            rf"^  dashboard +{second.query_url}/\n  sign-in code +([A-Z2-9]{{8}}) ", second.output, re.MULTILINE
        )
        body, headers = json.dumps({"code": code[1]}).encode(), {"Content-Type": "application/json"}
        with urlopen(Request(f"{second.query_url}/v1/sign-in", body, headers), timeout=30) as response:
            assert get_json(f"{second.query_url}/v1/me", json.load(response)["token"])["kind"] == "admin"
        second.stop()
        assert code[1] not in second.output.replace(code[0], "")


def test_one_port_for_both_is_refused_before_anything_is_made(tmp_path):
    same = {"APIMETRY_COLLECTOR_PORT": "17998", "APIMETRY_QUERY_PORT": "17998"}
    with running("serve", data_dir=tmp_path, **same) as service:
        assert service.process.wait(30) == 1
        assert "cannot share port 17998" in service.output
    assert list(tmp_path.iterdir()) == []


def test_keys_and_addresses_are_found_again_in_the_data_directory(tmp_path):
    data = tmp_path / "apimetry-data"
    data.mkdir()
    with running("serve", data_dir=data) as service:
        assert service.query_url
        service.wait_until((data / "addresses.json").exists, "addresses")
        service.wait_until(lambda: "granularity" in service.output, "lines to paste")
        credentials = json.loads((data / "credentials.json").read_text())
        assert json.loads(apimetry("keys", "show", "--json", cwd=tmp_path).stdout) == credentials
        assert [row["id"] for row in json.loads(apimetry("applications", "list", "--json", cwd=tmp_path).stdout)] == [
            credentials["application"]
        ]
        findings = json.loads(apimetry("doctor", "--json", cwd=tmp_path).stdout)
        assert [finding["hop"] for finding in findings if not finding["ok"]] == ["app"]
    with running("serve", data_dir=data) as service:
        assert service.query_url
        service.wait_until(lambda: "apimetry keys show" in service.output, "where the keys are")
        assert credentials["admin_key"] not in service.output


def test_a_key_that_a_setting_gives_is_not_printed(tmp_path):
    secret = tmp_path / "write.key"
    secret.write_text(WRITE_KEY)
    with running(
        "serve",
        data_dir=tmp_path,
        APIMETRY_BOOTSTRAP_WRITE_KEY_FILE=str(secret),
        APIMETRY_BOOTSTRAP_ADMIN_KEY=ADMIN_KEY,
    ) as service:
        service.wait_until(lambda: "doctor` says" in service.output, "all lines")
        credentials = json.loads((tmp_path / "credentials.json").read_text())
        assert f"read_key     {credentials['read_key']}\n" in service.output
        assert "write_key    apimetry_w_…   (given by a setting)" in service.output
        assert 'write_key="apimetry_w_…"' in service.output
        assert WRITE_KEY not in service.output
        assert ADMIN_KEY not in service.output


def test_an_error_that_stops_the_start_is_a_line_in_the_format_of_the_log(tmp_path):
    same = {"APIMETRY_COLLECTOR_PORT": "17998", "APIMETRY_QUERY_PORT": "17998"}
    ran = apimetry("serve", "--data-dir", str(tmp_path / "d"), cwd=tmp_path, APIMETRY_LOG_FORMAT="json", **same)
    line = json.loads(ran.stderr)
    assert (ran.returncode, line["level"]) == (1, "critical")
    assert "cannot share port 17998" in line["message"]


def test_the_exported_lines_set_what_every_command_reads(tmp_path):
    (tmp_path / "credentials.json").write_text(json.dumps({"application": "shop", "read_key": "apimetry_r_'x"}))
    (tmp_path / "addresses.json").write_text(json.dumps({"query_url": "http://127.0.0.1:1"}))
    lines = apimetry("keys", "show", "--export", "--data-dir", str(tmp_path), cwd=tmp_path).stdout
    shown = subprocess.run(
        ["bash", "-c", f'{lines}\necho "$APIMETRY_APPLICATION $APIMETRY_READ_KEY $APIMETRY_QUERY_URL"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout == "shop apimetry_r_'x http://127.0.0.1:1\n"


def test_no_keys_to_show_is_one_sentence_with_the_path(tmp_path):
    ran = apimetry("keys", "show", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert str(tmp_path / "apimetry-data" / "credentials.json") in ran.stderr


def test_the_next_start_makes_keys_that_a_killed_start_only_wrote_to_the_file(store, tmp_path):
    """A start was killed after it wrote the file and before it made the keys."""
    settings = Settings(data_dir=str(tmp_path))
    (tmp_path / "credentials.json").write_text(
        json.dumps(
            {
                "application": "shop",
                "admin_key": ADMIN_KEY,
                "write_key": WRITE_KEY,
                "read_key": READ_KEY,
            }
        )
    )
    credentials = first_keys(store, settings, generate=True)
    assert (credentials.application_id, credentials.read_key) == ("shop", READ_KEY)
    assert first_keys(store, settings, generate=True) is None


def test_keys_that_cannot_be_written_to_the_file_are_not_made(store, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="data directory"):
        first_keys(store, Settings(data_dir=str(tmp_path / "file" / "below")), generate=True)
    credentials = first_keys(store, Settings(data_dir=str(tmp_path)), generate=True)
    assert json.loads((tmp_path / "credentials.json").read_text())["admin_key"] == credentials.admin_key


def test_a_cluster_needs_a_server_and_that_is_one_sentence(tmp_path):
    ports = ("--collector-port", "0", "--query-port", "0")
    ran = apimetry("serve", "--cluster", "main", *ports, cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr == (
        "Error: the cluster 'main' needs a ClickHouse server, and the store is embedded: name a server with --store"
        " (APIMETRY_STORE), or leave --cluster (APIMETRY_CLUSTER) out\n"
    )


def test_a_start_names_a_store_that_is_away_and_an_invalid_origin(tmp_path):
    settings = {"APIMETRY_STORE": "clickhouse://user:secret@127.0.0.1:1/x", "APIMETRY_ALLOWED_ORIGINS": "foo"}
    with running("serve", data_dir=tmp_path, **settings) as service:
        assert service.collector_url
        service.wait_until(lambda: "does not answer yet: nothing is taken" in service.output, "the banner")
        assert "the ClickHouse server at http://127.0.0.1:1/x is not available" in service.output
        for delayed in ("accounts cannot be refreshed, there are none yet", "jobs are delayed"):
            service.wait_until(
                lambda text=delayed: f"{text}: the store is not available yet" in service.output, delayed
            )
        assert "closed" not in service.output
        assert "urllib3" not in service.output
        assert "'foo' is not an origin" in service.output
        assert "secret" not in service.output


def test_an_unreachable_store_is_one_sentence_with_its_address(tmp_path):
    ran = apimetry("migrate", "--store", "clickhouse://user:secret@127.0.0.1:1/x", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: the ClickHouse server at http://127.0.0.1:1/x: ")
    assert ran.stderr.count("\n") == 1
    assert "secret" not in ran.stderr


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [("--host", "nobody.invalid", "--host (APIMETRY_HOST)"), ("--host", "192.0.2.1", "--host (APIMETRY_HOST)")],
)
def test_an_unusable_host_is_reported_with_its_setting(tmp_path, option, value, advice):
    ran = apimetry("serve", option, value, cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Error: cannot listen on {value}:7998: ")
    assert advice in ran.stderr
    assert list(tmp_path.iterdir()) == []
