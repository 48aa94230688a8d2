"""A collector whose ClickHouse server is away: it starts, knows its keys, acknowledges and keeps events."""

from __future__ import annotations

import os
import signal
import stat
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from apimetry.store.accounts.accounts import Accounts, KeyKind
from apimetry.store.client import Store
from tests.support.services.keys import UNKNOWN_WRITE_KEY, WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, post_events, running


def events(count, prefix):
    now = time.time()
    return [
        {"timestamp": now - i, "method": "GET", "url": f"/{prefix}/{i}", "response_us": i, "status_code": 200}
        for i in range(count)
    ]


@contextmanager
def opened(url):
    store = Store(url)
    store.open()
    yield store
    store.close()


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def stored_urls(store):
    return sorted(url for (url,) in store.query("SELECT url FROM events"))


def test_a_collector_restarted_without_its_store_takes_events_and_stores_them_later(
    clickhouse_server, clickhouse_url, tmp_path
):
    settings = {"APIMETRY_STORE": clickhouse_url, **BOOTSTRAP}
    before, during = events(10, "before"), events(10, "during")
    with running("collector", data_dir=tmp_path, **settings) as collector:
        assert post_events(collector.collector_url, before)[0] == 200
    snapshot = tmp_path / "accounts.json"
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o600
    assert WRITE_KEY not in snapshot.read_text()
    clickhouse_server.kill()
    with running("collector", data_dir=tmp_path, **settings) as collector:
        url = collector.collector_url
        assert (status_of(f"{url}/health"), status_of(f"{url}/ready")) == (200, 200)
        assert post_events(url, during) == (200, {"accepted": 10, "rejected": 0})
        unknown = post_events(url, during, key=UNKNOWN_WRITE_KEY)
        assert unknown[0] == 503, "a key that is newer than the snapshot must come back later"
    with running("collector", data_dir=tmp_path, **settings) as collector:
        assert "holds 10 events in 1 segments" in (collector.collector_url and collector.output)
        clickhouse_server.restart()
        collector.wait_until(lambda: "the store is available" in collector.output, "store")
        with opened(clickhouse_url) as store:
            expected = sorted(event["url"] for event in before + during)
            collector.wait_until(lambda: stored_urls(store) == expected, "events of before and during")
        # Until the accounts are read again, the key might be a new one.
        collector.wait_until(
            lambda: post_events(collector.collector_url, during, key=UNKNOWN_WRITE_KEY)[0] == 401, "a refusal"
        )


def test_a_key_revoked_while_the_collector_was_down_is_dead_with_the_stores_first_answer(
    clickhouse_server, clickhouse_url, tmp_path
):
    settings = {"APIMETRY_STORE": clickhouse_url, **BOOTSTRAP}
    with running("collector", data_dir=tmp_path, **settings) as collector:
        assert post_events(collector.collector_url, events(1, "a"))[0] == 200
    with opened(clickhouse_url) as store:
        accounts = Accounts(store)
        (key,) = [key for key, _ in accounts.keys_with_hashes() if key.kind is KeyKind.write]
        accounts.revoke_key(key.id)
    with running("collector", data_dir=tmp_path, **settings) as collector:
        assert post_events(collector.collector_url, events(1, "b"))[0] == 401
    clickhouse_server.kill()
    with running("collector", data_dir=tmp_path, **settings) as collector:
        # The snapshot has working keys alone: a key that it lacks may also be newer than it.
        assert post_events(collector.collector_url, events(1, "c"))[0] == 503
        clickhouse_server.restart()


def test_a_first_start_without_the_store_listens_and_says_why_it_is_not_ready(
    clickhouse_server, clickhouse_url, tmp_path
):
    clickhouse_server.kill()
    with running("collector", data_dir=tmp_path, APIMETRY_STORE=clickhouse_url, **BOOTSTRAP) as collector:
        url = collector.collector_url
        assert (status_of(f"{url}/health"), status_of(f"{url}/ready")) == (200, 503)
        assert post_events(url, events(1, "a"))[0] == 503
        clickhouse_server.restart()
        collector.wait_until(lambda: post_events(url, events(1, "a"))[0] == 200, "acknowledgement")


def test_a_hanging_store_holds_neither_the_start_nor_the_stop(clickhouse_server, clickhouse_url, tmp_path):
    settings = {"APIMETRY_STORE": clickhouse_url, **BOOTSTRAP}
    with running("collector", data_dir=tmp_path, **settings) as collector:
        assert collector.collector_url
    clickhouse_server.fault("hang", count=1000)
    with running("collector", data_dir=tmp_path, **settings) as collector:
        assert post_events(collector.collector_url, events(5, "a"))[0] == 200
    clickhouse_server.clear_faults()


def test_sighup_reloads_what_can_change_and_names_what_cannot(tmp_path):
    config = tmp_path / "apimetry.toml"
    config.write_text('log_level = "warning"\n')
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as service:
        url = service.collector_url
        assert [post_events(url, events(20, i))[0] for i in range(3)] == [200] * 3
        config.write_text('log_level = "info"\nevents_per_s_per_key = 1\nhost = "127.0.0.2"\n')
        os.kill(service.process.pid, signal.SIGHUP)
        service.wait_until(lambda: "need a restart: host" in service.output, "line about the reload")
        assert "changed: events_per_s_per_key, log_level" in service.output
        assert [post_events(url, events(20, i))[0] for i in range(2)] == [200, 429]
        config.write_text("log_level = 5\n")
        os.kill(service.process.pid, signal.SIGHUP)
        service.wait_until(lambda: "not reloaded" in service.output, "refusal of the reload")
        assert post_events(url, events(1, "x"))[0] == 429


def test_a_second_signal_ends_at_once_and_loses_nothing_acknowledged(clickhouse_server, clickhouse_url, tmp_path):
    settings = {"APIMETRY_STORE": clickhouse_url, **BOOTSTRAP}
    sent = events(50, "a")
    with running("collector", data_dir=tmp_path, **settings) as collector:
        url = collector.collector_url
        clickhouse_server.fault("hang", count=1000)
        assert post_events(url, sent)[0] == 200
        collector.process.send_signal(signal.SIGTERM)
        collector.wait_until(lambda: "stopping" in collector.output, "stop under way")
        collector.process.send_signal(signal.SIGTERM)
        assert collector.process.wait(5) == 128 + signal.SIGTERM
    clickhouse_server.clear_faults()
    with running("collector", data_dir=tmp_path, **settings) as collector, opened(clickhouse_url) as store:
        collector.wait_until(
            lambda: stored_urls(store) == sorted(event["url"] for event in sent), "acknowledged events"
        )
