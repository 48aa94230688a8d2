"""The command as a user runs it: real processes, their output and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess

import pytest

from tests.support.services.keys import ADMIN_KEY, READ_KEY
from tests.support.services.processes import (
    APIMETRY,
    APPLICATION,
    BOOTSTRAP,
    get_json,
    post_events,
    post_json,
    running,
    total,
)


def apimetry(*arguments, **environment):
    return subprocess.run(
        [str(APIMETRY), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


@pytest.fixture
def manage(serve):
    def call(*arguments, status=0):
        ran = apimetry(*arguments, "--json", APIMETRY_QUERY_URL=serve.query_url, APIMETRY_ADMIN_KEY=ADMIN_KEY)
        assert ran.returncode == status, ran.stderr
        return json.loads(ran.stdout) if status == 0 else ran.stderr

    return call


def test_an_application_is_created_listed_and_deleted(manage):
    unlimited = manage("applications", "create", "--name", "Kept", "--id", "kept", "--retention-days", "forever")
    assert unlimited["retentionDays"] is None
    manage("applications", "delete", "kept")
    application = manage("applications", "create", "--name", "Billing", "--id", "billing", "--retention-days", "7")
    assert (application["id"], application["name"], application["retentionDays"]) == ("billing", "Billing", 7)
    assert [row["id"] for row in manage("applications", "list")] == [APPLICATION, "billing"]
    assert manage("applications", "delete", "billing") == {"deleted": "billing"}
    assert [row["id"] for row in manage("applications", "list")] == [APPLICATION]


def test_an_application_is_deleted_with_its_events(manage, serve):
    manage("applications", "create", "--name", "Short", "--id", "short")
    deleted = manage("applications", "delete", "short", "--events")
    job = get_json(f"{serve.query_url}/api/jobs/{deleted['job']}", ADMIN_KEY)["job"]
    assert (job["kind"], job["application"], job["state"]) == ("delete_application", "short", deleted["state"])


def test_an_alert_rule_is_created_listed_and_deleted(manage):
    rule = manage(
        *("alerts", "create", "--application", APPLICATION, "--name", "Slow", "--metric", "latency_percentile"),
        *("--percentile", "95", "--threshold", "250", "--include", "method:GET", "--window-s", "600"),
        *("--webhook-url", "https://hooks.example.com/"),
    )
    shown = ("name", "percentile", "threshold", "include", "windowS", "webhookUrl")
    assert [rule[name] for name in shown] == ["Slow", 95, 250.0, ["method:GET"], 600, "https://hooks.example.com/"]
    assert rule["secret"].startswith("whsec_")
    assert [row["id"] for row in manage("alerts", "list")] == [rule["id"]]
    assert rule["secret"] not in json.dumps(manage("alerts", "list"))
    assert manage("alerts", "delete", rule["id"]) == {"deleted": rule["id"]}
    assert manage("alerts", "list") == []
    wrong = ("alerts", "create", "--application", APPLICATION, "--name", "x", "--metric", "error_rate")
    assert "threshold is missing" in manage(*wrong, status=1)


def test_a_new_key_works_at_once_and_a_deleted_one_stops(manage, serve):
    key = manage("keys", "create", "--kind", "read", "--application", APPLICATION, "--name", "ci")
    assert total(serve.query_url, key["secret"]) == total(serve.query_url)
    assert key["secret"] not in json.dumps(manage("keys", "list"))
    assert manage("keys", "delete", key["id"]) == {"revoked": key["id"]}
    serve.wait_until(lambda: refused(serve, key["secret"]), "refusal of the revoked key")


def test_a_link_is_made_listed_and_revoked(manage, serve):
    made = manage(
        *("links", "create", "--application", APPLICATION, "--name", "For Acme", "--include", "consumer_id:acme"),
        *("--page", "overview", "--page", "requests", "--hide", "url", "--hide", "data"),
        *("--not-before", "1600000000"),
        *("--range", "30d", "--expires-s", "3600", "--embed-origin", "https://portal.example.com"),
    )
    shown = ("name", "include", "pages", "hides", "notBefore", "range", "embedOrigins")
    assert [made[name] for name in shown] == [
        *("For Acme", ["consumer_id:acme"], ["overview", "requests"], ["url", "data"], 1_600_000_000, "30d"),
        ["https://portal.example.com"],
    ]
    address, _, token = made["link"].partition("#")
    assert address == f"{serve.query_url}/s/{made['id']}"
    assert made["embed"] == f"{serve.query_url}/embed/{made['id']}#{token}"
    assert get_json(f"{serve.query_url}/v1/me", token)["fixed"]["pages"] == ["overview", "requests"]
    everything = manage("links", "create", "--application", APPLICATION, "--hide", "nothing")
    assert (everything["hides"], "embed" in everything) == ([], False)
    listed = manage("links", "list")
    assert [row["id"] for row in listed] == [made["id"], everything["id"]]
    assert token not in json.dumps(listed)
    assert manage("links", "revoke", made["id"]) == {"revoked": made["id"]}
    serve.wait_until(lambda: refused(serve, token), "refusal of the link")
    assert "'settings' is not one of" in manage("links", "create", "--page", "settings", status=2)


def test_sessions_are_listed_and_revoked(manage, serve):
    made = post_json(f"{serve.query_url}/v1/session", {"hours": 1}, READ_KEY)
    assert total(serve.query_url, made["token"]) == total(serve.query_url)
    (row,) = manage("sessions", "list")
    assert (row["id"], row["kind"], row["application"]) == (made["id"], "read", APPLICATION)
    assert manage("sessions", "revoke", made["id"]) == {"revoked": made["id"]}
    serve.wait_until(lambda: refused(serve, made["token"]), "refusal of the session")
    assert manage("sessions", "list") == []
    assert "Not Found" in manage("sessions", "revoke", "nobody", status=1)


def refused(serve, key):
    try:
        total(serve.query_url, key)
    except OSError as error:
        with error:
            return error.code == 401
    return False


def test_a_rotated_key_works_beside_its_successor_for_the_overlap(manage, serve):
    key = manage("keys", "create", "--kind", "read", "--application", APPLICATION)
    rotated = manage("keys", "rotate", key["id"], "--overlap-s", "3600")
    assert rotated["kind"] == "read"
    assert total(serve.query_url, key["secret"]) == total(serve.query_url, rotated["secret"])


def test_a_refusal_of_the_service_is_one_sentence_and_exit_code_1(manage):
    assert "Not Found" in manage("applications", "delete", "nobody", status=1)


def test_no_service_is_one_sentence_and_exit_code_1():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        ran = apimetry("keys", "list", "--query-url", url, "--admin-key", ADMIN_KEY)
    assert ran.returncode == 1
    assert ran.stderr == f"Error: no query service at {url}: connection refused; nothing listens there\n"


def test_a_table_is_printed_for_people(serve):
    ran = apimetry("applications", "list", "--query-url", serve.query_url, "--admin-key", ADMIN_KEY)
    heading, row = ran.stdout.splitlines()
    assert heading.split() == ["ID", "NAME", "RETENTIONDAYS", "CREATEDAT"]
    assert row.startswith(APPLICATION)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["serve", "--query-port", "x"], {}, "--query-port: 'x' is not a whole number"),
        (["serve"], {"APIMETRY_FSYNC": "never"}, "APIMETRY_FSYNC: 'never' is not one of always, interval"),
        (["serve", "--config", "absent.toml"], {}, "absent.toml: cannot be read"),
        (["keys", "create", "--kind", "root", "--admin-key", "x"], {}, "'root' is not one of"),
        (
            ["applications", "list", "--data-dir", "/absent"],
            {},
            "no admin key: give --admin-key or set APIMETRY_ADMIN_KEY",
        ),
        (["applications", "list", "--admin-key", "x", "--query-url", "ftp://x"], {}, "is not an http:// or https://"),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_exits_with_2(arguments, environment, message):
    ran = apimetry(*arguments, **environment)
    assert ran.returncode == 2
    assert message in ran.stderr


def test_migrate_prints_its_statements_then_runs_them_then_has_nothing_to_do(tmp_path):
    here = {"APIMETRY_DATA_DIR": str(tmp_path), **BOOTSTRAP}
    planned = apimetry("migrate", "--dry-run", **here)
    assert "CREATE TABLE IF NOT EXISTS" in planned.stdout
    assert list(tmp_path.iterdir()) == []
    applied = apimetry("migrate", "--json", **here)
    names = [row["migration"] for row in json.loads(applied.stdout)]
    assert names == [line[3:] for line in planned.stdout.splitlines() if line.startswith("-- ")]
    assert json.loads(apimetry("migrate", "--json", **here).stdout) == []
    with running("serve", data_dir=tmp_path) as service:
        assert get_json(f"{service.query_url}/1/timeseries/0/1/", READ_KEY)["groups"] == {APPLICATION: [[0, 0]]}


def test_a_schema_that_is_not_up_to_date_is_refused_when_migrating_is_off(tmp_path):
    with running("serve", data_dir=tmp_path, APIMETRY_MIGRATE="false") as service:
        assert service.process.wait(30) == 1
        assert "run `apimetry migrate`" in service.output


def test_a_second_process_over_the_same_data_is_refused_by_name(tmp_path):
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as first:
        assert first.query_url
        with running("serve", data_dir=tmp_path, **BOOTSTRAP) as second:
            assert second.process.wait(30) == 1
            assert str(first.process.pid) in second.output


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with running("serve", data_dir=tmp_path, **{**BOOTSTRAP, "APIMETRY_QUERY_PORT": str(port)}) as service:
            assert service.process.wait(30) == 1
            assert f"cannot listen on 127.0.0.1:{port}: another program listens there" in service.output
            assert "--query-port (APIMETRY_QUERY_PORT)" in service.output


def test_interrupting_stops_with_exit_code_0_and_no_traceback(tmp_path):
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as service:
        assert service.query_url
        assert service.stop(signal.SIGINT) == 0
        assert "Traceback" not in service.output


def test_a_bootstrap_key_of_the_wrong_form_is_refused_without_being_shown(tmp_path):
    wrong = "apimetry_w_too-short"
    with running("serve", data_dir=tmp_path, **{**BOOTSTRAP, "APIMETRY_BOOTSTRAP_WRITE_KEY": wrong}) as service:
        assert service.process.wait(30) == 1
        assert "48 or 52 characters" in service.output
        assert wrong not in service.output
    assert not (tmp_path / "store").exists()
    migrated = apimetry("migrate", APIMETRY_DATA_DIR=str(tmp_path), APIMETRY_BOOTSTRAP_WRITE_KEY=wrong)
    assert (migrated.returncode, "48 or 52 characters" in migrated.stderr) == (1, True)
    assert not (tmp_path / "store").exists()


def test_data_is_readable_by_its_owner_only(tmp_path):
    data = tmp_path / "data"
    with running("serve", data_dir=tmp_path, APIMETRY_DATA_DIR=str(data)) as service:
        assert service.query_url
        keys = json.loads((data / "credentials.json").read_text())
        event = {"timestamp": 1e9, "method": "GET", "url": "/", "response_us": 1, "status_code": 200}
        assert post_events(service.collector_url, [event], keys["write_key"])[0] == 400
        exposed = [
            path for path in [data, *data.iterdir(), *(data / "spool").iterdir()] if path.stat().st_mode & 0o077
        ]
        assert exposed == []
