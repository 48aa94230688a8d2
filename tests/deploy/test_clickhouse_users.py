"""The users of `deploy/clickhouse/users.sql` can do what their services do, and nothing beyond."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.batches import HeldBatch, find_owners, hold
from apimetry.store.client import Store
from apimetry.store.erasure import carry_out
from apimetry.store.errors import StoreRejected
from apimetry.store.jobs import Job, JobKind
from apimetry.store.statement import Statement
from apimetry.store.turns import take_turn
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.event_rows import encode_rows, now_us
from tests.support.services.keys import ADMIN_KEY, READ_KEY
from tests.support.services.processes import APPLICATION, BOOTSTRAP, post_events, running, wait_for_total

SQL = (Path(__file__).parents[2] / "deploy" / "clickhouse" / "users.sql").read_text()
NAMES = re.findall(r"^CREATE USER IF NOT EXISTS (\w+) IDENTIFIED", SQL, re.MULTILINE)
PROFILES = dict(re.findall(r"^CREATE SETTINGS PROFILE IF NOT EXISTS (\w+) SETTINGS\n([^;]*);", SQL, re.MULTILINE))


def users_xml() -> str:
    """The file's users with its very grants; the test's engine makes users from XML only."""
    users = ""
    for name in NAMES:
        grants = "".join(
            f"<query>{grant}</query>" for grant in re.findall(rf"^(GRANT .*) TO {name};$", SQL, re.MULTILINE)
        )
        users += (
            f"<{name}><password>{name}</password><profile>{name if name in PROFILES else 'default'}</profile>"
            f"<quota>default</quota><networks><ip>127.0.0.1</ip></networks><grants>{grants}</grants></{name}>"
        )
    return users


def profiles_xml() -> str:
    """The file's profiles of settings, with their constraints."""
    profiles = ""
    for name, settings in PROFILES.items():
        values = constraints = ""
        for line in settings.split(","):
            setting, value, *constraint = line.replace("=", " ").split()
            values += f"<{setting}>{value}</{setting}>"
            bounds = "".join(
                f"<{word.lower()}>{bound}</{word.lower()}>"
                for word, bound in zip(constraint[::2], constraint[1::2], strict=False)
            )
            constraints += f"<{setting}>{'<const/>' if constraint == ['CONST'] else bounds}</{setting}>"
        profiles += f"<{name}>{values}<constraints>{constraints}</constraints></{name}>"
    return profiles


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A server with the file's users and no table yet."""
    server = ClickHouseServer(tmp_path_factory.mktemp("users"), users=users_xml(), profiles=profiles_xml())
    server.start()
    yield server
    server.kill()


def url_as(server: ClickHouseServer, user: str, database: str = "apimetry") -> str:
    return server.url(database).replace("://", f"://{user}:{user}@")


@pytest.fixture(scope="module")
def store_of(server: ClickHouseServer) -> Iterator[Callable[[str], Store]]:
    """Open the store as a user."""
    with ExitStack() as stack:

        def open_as(user: str) -> Store:
            store = Store(url_as(server, user))
            store.open()
            stack.enter_context(closing(store))
            return store

        migrator = open_as("apimetry_migrator")
        # The whole services of the first test may have done it.
        migrations.migrate(migrator)
        bootstrap(Accounts(migrator), application="shop")
        yield open_as


def assert_refused(store: Store, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(StoreRejected, match="ACCESS_DENIED"):
            store.command(statement)


def test_every_grant_of_the_file_is_given_by_the_test():
    assert len(re.findall(r"^GRANT", SQL, re.MULTILINE)) == users_xml().count("<query>") > len(NAMES) == 3


def test_whole_services_run_as_the_users_of_least_privilege(server: ClickHouseServer, tmp_path: Path):
    def settings(user: str) -> dict[str, str]:
        (tmp_path / user).mkdir()
        return {"data_dir": tmp_path / user, "APIMETRY_STORE": url_as(server, user), **BOOTSTRAP}

    with running("migrate", **settings("apimetry_migrator")) as migrate:
        assert migrate.process.wait(120) == 0, migrate.output
    with (
        running("collector", APIMETRY_MIGRATE="false", **settings("apimetry_writer")) as collector,
        running("query", APIMETRY_MIGRATE="false", **settings("apimetry_reader")) as query,
    ):
        now = time.time()
        events = [
            {"timestamp": now - i, "method": "GET", "url": "/", "status_code": 200, "consumer_id": f"c{i % 2}"}
            for i in range(100)
        ]
        assert post_events(collector.collector_url, events)[0] == 200
        wait_for_total(query, query.query_url, 100)

        def ask(method: str, path: str, body: object = None, key: str = ADMIN_KEY) -> Any:
            request = urllib.request.Request(
                query.query_url + path,
                None if body is None else json.dumps(body).encode(),
                {"X-API-Key": key, "Content-Type": "application/json"},
                method=method,
            )
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read() or b"null")

        ask("POST", "/api/applications", {"name": "Other", "id": "other"})
        key = ask("POST", "/api/keys", {"kind": "read", "application": "other", "name": "reads"})["key"]
        ask("POST", f"/api/keys/{key['id']}/rotate", {"overlapS": 60})
        ask("DELETE", f"/api/keys/{key['id']}")
        ask("POST", "/v1/session", {"hours": 1})
        rule = {"application": APPLICATION, "name": "Errors", "metric": "error_rate", "threshold": 5}
        ask("DELETE", f"/api/alerts/{ask('POST', '/api/alerts', rule)['alert']['id']}")
        assert ask("GET", "/api/analytics/overview")
        assert ask("GET", "/v1/developer/usage", key=READ_KEY)["usage"]["totalRequests"] == 100
        assert ask("GET", "/api/collectors")["collectors"]
        job = ask("DELETE", f"/api/applications/{APPLICATION}/consumers/c0")["job"]
        query.wait_until(lambda: ask("GET", f"/api/jobs/{job['id']}")["job"]["state"] == "done", "deletion")
        wait_for_total(query, query.query_url, 50)
        for service in (collector, query):
            assert "ACCESS_DENIED" not in service.output, service.output


def test_the_writer_adds_rows_and_changes_none(store_of):
    store = store_of("apimetry_writer")
    migrations.check(store)
    store.insert_rows("segment", encode_rows(10))
    batch = HeldBatch(b"k" * 16, now_us(), is_first=False)
    for segment in ("one", "other"):
        hold(store, segment, [batch])
    assert find_owners(store, "one", [batch]) == {batch.key: "other"}
    assert len(Accounts(store).working_keys_with_hashes()) >= 3
    assert_refused(
        store,
        "DROP TABLE events",
        "ALTER TABLE events DELETE WHERE 1",
        "CREATE TABLE x (a Int8) ENGINE = Log",
        "INSERT INTO keys (id) VALUES ('x')",
    )


def test_the_reader_answers_and_carries_deletions_out_and_drops_nothing(store_of):
    store = store_of("apimetry_reader")
    migrations.check(store)
    store_of("apimetry_writer").insert_rows("another segment", encode_rows(10, consumer_id="a"))
    job = Job("job", "org", "shop", JobKind.delete_consumer, datetime.now(timezone.utc), consumer_id="a")
    carry_out(store, job, lambda _: None)
    assert store.query("SELECT count() FROM events WHERE consumer_id = 'a'") == [(0,)]
    assert store.query("SELECT sum(requests) FROM hourly_consumers WHERE consumer_id = 'a'") in ([(0,)], [(None,)])
    store.end_queries("nothing")
    assert take_turn(store, "alerts", 1, "me")
    assert_refused(
        store,
        "DROP TABLE events",
        "ALTER TABLE events ADD COLUMN a Int8",
        "CREATE USER eve",
        "INSERT INTO events (url) VALUES ('/')",
        "INSERT INTO counters (application) VALUES ('shop')",
    )
    for table in ("alert_rules", "alert_measurements", "alert_events", "alert_deliveries", "tokens", "jobs"):
        store.command(f"INSERT INTO {table} SELECT * FROM {table} WHERE 0")


def test_no_statement_of_the_reader_leaves_its_limits(store_of):
    store = store_of("apimetry_reader")
    for setting, value in (("max_memory_usage", 0), ("max_memory_usage", 2**33)):
        with pytest.raises(StoreRejected, match="SETTING_CONSTRAINT_VIOLATION"):
            store.command("SELECT 1", settings={setting: value})
    # Those of questions and of exports are within them.
    assert store.ask(Statement("SELECT 1")) == [(1,)]
    assert b"".join(store.stream(Statement("SELECT '{}\\n'"), form="RawBLOB")) == b"{}\n"
