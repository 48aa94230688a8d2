"""The `demo` command."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import time
from pathlib import Path
from typing import Final

import click

from apimetry.cli import data_dir as files
from apimetry.cli.demo import history
from apimetry.cli.demo.processes import Processes, free_port
from apimetry.cli.demo.sending import send_traffic
from apimetry.cli.demo.traffic import Schedule, Traffic

_FRAMEWORKS: Final = ("django", "fastapi", "flask", "uvicorn")
_PAST_PER_SECOND: Final = 1.0
_VERSIONS: Final = ("2.4.1", "2.5.0", "2.6.0")
"""The versions of the shop: in the past, after the deploy of the past, after the one that is real."""
_DEPLOY_AFTER_S: Final = 60
_INCIDENT_S: Final = 300
_NOISE_AFTER_S: Final = 480
_NOISE_S: Final = 180


@click.command()
@click.option("--data-dir", default="./apimetry-demo", show_default=True, help="folder of the demo's store and keys")
@click.option("--query-port", default=7788, show_default=True, help="port of the dashboard; 0 picks a free one")
@click.option("--collector-port", default=7798, show_default=True, help="port of the collector; 0 picks a free one")
@click.option("--hours", type=click.IntRange(0, 168), default=24, show_default=True, help="hours of history to make")
@click.option("--rate", type=click.FloatRange(0.1, 200), default=10.0, show_default=True, help="requests a second")
@click.option("--seconds", type=click.IntRange(min=1), help="stop after so many seconds; without it, at Ctrl-C")
def demo(  # noqa: PLR0913, PLR0917 - its options
    data_dir: str, query_port: int, collector_port: int, hours: int, rate: float, seconds: int | None
) -> None:
    """Run example applications under generated traffic, beside a `serve` with its own data directory.

    A FastAPI, a Flask and a Django application answer real requests. One minute after the start the shop is deployed;
    then checkouts fail for some minutes, and later one consumer asks far too often.
    """
    missing = [name for name in _FRAMEWORKS if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"{', '.join(missing)} is not installed: pip install 'apimetry[demo]'")
    folder = Path(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    # `kill` ends the demo as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Processes(folder) as processes:
        try:
            Demo(processes, folder, query_port or free_port(), collector_port or free_port()).run(
                hours, rate, seconds
            )
        except KeyboardInterrupt:
            print("The demo ends.")


class Demo:
    """A `serve` with its own data directory, and the applications that send to it."""

    def __init__(self, processes: Processes, folder: Path, query_port: int, collector_port: int) -> None:
        self._processes = processes
        self._folder = folder
        self._query_port = query_port
        self._collector_port = collector_port
        self._collector_url = f"http://127.0.0.1:{collector_port}"
        self._ports = {name: free_port() for name in ("shop", "catalog", "accounts")}

    def run(self, hours: int, rate: float, seconds: int | None) -> None:
        """Start everything and send traffic, for so many seconds, or until the process is told to end."""
        is_first = not files.credentials_in(self._folder).exists()
        print("Starting apimetry (some seconds)", flush=True)
        self._processes.start_serve(self._folder, self._collector_port, self._query_port)
        keys = files.read(files.credentials_in(self._folder))
        if is_first and hours:
            sent = _send_history(hours, self._collector_url, keys["write_key"])
            print(f"{sent:,} requests of the last {hours} hours are made up; those from now on are real", flush=True)
        for name in self._ports:
            self._start(name, _VERSIONS[1] if name == "shop" else history.OTHER_VERSION, keys["write_key"])
        print(f"Dashboard  http://127.0.0.1:{self._query_port}/")
        print(f"Key        {keys['read_key']}")
        print("Ctrl-C ends the demo.", flush=True)
        start_s = time.time()
        schedule = Schedule(
            *_VERSIONS[1:],
            deploy_s=start_s + _DEPLOY_AFTER_S,
            incident_ends_s=start_s + _DEPLOY_AFTER_S + _INCIDENT_S,
            noise_starts_s=start_s + _NOISE_AFTER_S,
            noise_ends_s=start_s + _NOISE_AFTER_S + _NOISE_S,
        )
        answered = asyncio.run(self._send(schedule, keys["write_key"], rate, start_s, seconds))
        print(f"{answered:,} requests were answered")

    async def _send(
        self, schedule: Schedule, write_key: str, rate: float, start_s: float, seconds: int | None
    ) -> int:
        end_s = float("inf") if seconds is None else start_s + seconds
        deploying = asyncio.create_task(self._deploy(schedule, write_key))
        try:
            traffic = Traffic(schedule, int(start_s))
            return await send_traffic(traffic, self._ports, end_s, rate, check=self._processes.check)
        finally:
            deploying.cancel()

    async def _deploy(self, schedule: Schedule, write_key: str) -> None:
        await asyncio.sleep(schedule.deploy_s - time.time())
        await asyncio.to_thread(self._processes.stop, "shop")
        await asyncio.to_thread(self._start, "shop", schedule.new_version, write_key)
        print(f"The shop is deployed: version {schedule.new_version}", flush=True)

    def _start(self, name: str, version: str, write_key: str) -> None:
        self._processes.start_application(name, self._ports[name], version, self._collector_url, write_key)


def _send_history(hours: int, collector_url: str, write_key: str) -> int:
    now_s = time.time()
    start_s = now_s - hours * 3600
    third_s = hours * 1200
    schedule = Schedule(
        *_VERSIONS[:2],
        deploy_s=start_s + third_s,
        incident_ends_s=start_s + third_s + min(1800, third_s / 2),
        noise_starts_s=start_s + 2 * third_s,
        noise_ends_s=start_s + 2 * third_s + min(900, third_s / 3),
    )
    traffic = Traffic(schedule, 20)
    events = history.past_events(traffic, schedule, start_s, now_s, _PAST_PER_SECOND)
    return history.send(events, collector_url, write_key)
