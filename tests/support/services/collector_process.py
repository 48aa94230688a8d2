"""A collector as a process of its own, to be killed; run as a script it is that process.

Its store is a file: an insert appends its token and rows and fsyncs, and a reader takes each token once, as
ClickHouse does. The store so outlives every kill.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgpack

from apimetry.collector.app import create_app
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.serving.listening import listen
from apimetry.store.accounts.directory import Directory
from tests.support.services.collecting import MemoryAccounts, unpack_rows

ROOT = Path(__file__).parents[3]


class FileStore:
    embedded = True

    def __init__(self, path):
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def revision(self):
        return None

    async def run_reserved(self, function, *args):
        return await asyncio.to_thread(function, *args)

    async def run(self, function, *args):
        return await asyncio.to_thread(function, *args)

    def command(self, sql, parameters=None, *, settings=None):
        """Takes the collector's own report, which no test of kills asks for."""

    def insert_sender_reports(self, token, body):
        """Not asked for by any test of kills."""

    def insert_rows(self, token, body):
        os.write(self._handle, msgpack.packb([token, bytes(body)]))
        os.fsync(self._handle)


def stored_rows(directory):
    """Rows as the store holds them, and how many inserts were repeated."""
    path = directory / "store"
    bodies = {}
    inserts = 0
    if path.exists():
        unpacker = msgpack.Unpacker(max_buffer_size=2**31)
        unpacker.feed(path.read_bytes())
        for token, body in unpacker:
            inserts += 1
            assert bodies.setdefault(token, body) == body, "a retry changed its bytes"
    return [row for body in bodies.values() for row in unpack_rows(body)], inserts - len(bodies)


class CollectorProcess:
    """Starts one on `directory`; `url` is where it listens."""

    def __init__(self, directory, failpoints=""):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.services.collector_process", str(directory)],
            cwd=ROOT,
            env={**os.environ, "APIMETRY_FAILPOINTS": failpoints},
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        self.url = line.strip()

    def close(self):
        if self.process.poll() is None:
            self.kill()

    def kill(self):
        self.process.kill()
        return self.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        code = self.process.wait(120)
        self.process.stdout.close()
        return code


async def _serve(directory):
    store = FileStore(directory / "store")
    accounts = Directory(MemoryAccounts(store))
    await accounts.start()
    spool = SpoolSettings(directory=directory / "spool", segment_age_s=0.01)
    settings = CollectorSettings(spool=spool, min_backoff_s=0.01)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    listener = await listen(create_app(store, accounts, settings), "127.0.0.1", 0, grace_s=5.0)
    sys.stdout.write(f"{listener.url}\n")
    sys.stdout.flush()
    await stopping.wait()
    await listener.close()
    await accounts.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
