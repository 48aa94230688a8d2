"""What an earlier version left, in its store and in its spool, is read by this version: each event once."""

from __future__ import annotations

import tarfile
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from apimetry.collector.app import create_app
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.query_api.planning.planner import plan
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.timeseries.sql import timeseries_needs
from apimetry.store import backups, migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.directory import Directory
from apimetry.store.client import Store
from tests.support.services.keys import WRITE_KEY

FIXTURE = Path(__file__).parent / "previous_version" / "killed-after-insert.tar.xz"
YEARS_S = 10 * 365 * 86_400
"""Batches of the fixture stay known, however old the fixture is."""


@pytest.fixture
def data_dir(tmp_path):
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


async def test_events_of_an_earlier_version_s_store_and_spool_are_there_once_and_its_batches_known(data_dir):
    store = Store(f"chdb://{data_dir}/store")
    store.open()
    try:
        applied = migrations.migrate(store)
        migrations.check(store)
        assert {"0009_alert_channels", "0018_rejections"} <= set(applied)
        directory = Directory(Accounts(store))
        await directory.start()
        try:
            spool = SpoolSettings(directory=data_dir / "spool", batch_window_s=YEARS_S)
            collector = create_app(store, directory, CollectorSettings(spool=spool, drain_timeout_s=60))
            async with TestClient(TestServer(collector)) as client:
                for batch in ("stored", "waits"):
                    event = {"url": "/again", "method": "GET", "status_code": 200, "timestamp": time.time()}
                    headers = {"X-API-Key": WRITE_KEY, "X-Batch-Id": batch}
                    answer = await client.post("/1/event/", json=[event], headers=headers)
                    assert (answer.status, (await answer.json()).get("duplicate")) == (200, True), await answer.text()
        finally:
            await directory.close()
        held = backups.contents(store)
        assert (held.events, held.requests, held.rolled_up, held.applications, held.keys) == (8, 8, 8, 1, 3)
        ((first_s,),) = store.query("SELECT toUnixTimestamp(min(timestamp)) FROM events")
        month = TimeseriesQuery(first_s - 15 * 86400, first_s + 16 * 86400)
        limits = Limits(max_points=1, max_groups=1)
        ((application,),) = store.query("SELECT DISTINCT application FROM events")
        answer = answer_timeseries(month, application, ask=store.ask, limits=limits)
        assert plan(timeseries_needs(month)).days, "the question reads rows per day"
        assert [value for series in answer["groups"].values() for _, value in series] == [8]
        routes = store.query("SELECT substring(url, 2, 5) AS kind, count() FROM events GROUP BY kind ORDER BY kind")
        assert routes == [("store", 5), ("waits", 3)]
    finally:
        store.close()
