"""The processes that `collector_ingest.py` measures: a collector over a store of some kind, or the engine alone.

python benchmarks/_collector_under_test.py {embedded,bare,none,away,URL} DIRECTORY [--spool-mib N]

`bare` is an embedded store without rollups.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from aiohttp import web

from apimetry.collector.app import create_app
from apimetry.collector.settings import MIB, CollectorSettings, SpoolSettings
from apimetry.serving.service import json_response
from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.accounts.directory import Directory
from apimetry.store.client import Store
from apimetry.store.errors import StoreUnavailable
from tests.support.services.keys import WRITE_KEY

APPLICATION = "bench"


class NoStore(Store):
    """Takes every insert at once: what is left is the collector's own share."""

    def insert_rows(self, token: str, body: bytes | memoryview) -> None:
        """See Store."""
        del token, body

    def insert_sender_reports(self, token: str, body: bytes) -> None:
        """See Store."""
        del token, body


class AwayStore(Store):
    """Takes no insert: everything stays in the spool."""

    def insert_rows(self, token: str, body: bytes | memoryview) -> None:
        """See Store."""
        del token, body
        raise StoreUnavailable("away")


def store_of(kind: str, directory: Path) -> Store:
    """Yield an open store with its schema, and the key that the benchmark sends with."""
    url = kind if "://" in kind else f"chdb://{directory}/store"
    store = {"none": NoStore, "away": AwayStore}.get(kind, Store)(url)
    store.open()
    migrations.migrate(store)
    bootstrap(Accounts(store), application=APPLICATION, write_key=WRITE_KEY)
    if kind == "bare":
        for view in ("hourly_totals_view", "hourly_origins_view", "hourly_consumers_view", "minute_totals_view"):
            store.command(f"DETACH TABLE {view}")
    return store


async def serve(kind: str, directory: Path, spool_bytes: int) -> None:
    """Run until SIGTERM; prints the collector's address, and adds /count?url= to ask the store."""
    store = store_of(kind, directory)
    keys = Directory(Accounts(store))
    await keys.start()
    spool = SpoolSettings(directory=directory / "spool", max_bytes=spool_bytes)
    app = create_app(store, keys, CollectorSettings(spool=spool))

    async def count(request: web.Request) -> web.Response:
        # The newest events only: a probe must not read the whole table.
        rows = await store.run(
            store.query,
            "SELECT count() FROM events WHERE application = {a:String} AND timestamp > now() - 30"
            " AND url = {url:String}",
            {"a": APPLICATION, "url": request.query["url"]},
        )
        return json_response(rows[0][0])

    app.router.add_get("/count", count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()
    await keys.close()
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--spool-mib", type=int, default=4096)
    options = parser.parse_args()
    asyncio.run(serve(options.kind, options.directory, options.spool_mib * MIB))


if __name__ == "__main__":
    main()
