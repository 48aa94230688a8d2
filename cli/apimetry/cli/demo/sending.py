"""Send the traffic of the demo to the example applications, as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from apimetry.cli.demo.applications import CONSUMER_HEADER, DURATION_HEADER, STATUS_HEADER
from apimetry.cli.demo.traffic import Request, Traffic

_AT_ONCE: Final = 64
_BEHIND_S: Final = 1.0


async def send_traffic(
    traffic: Traffic, ports: Mapping[str, int], end_s: float, per_second: float, *, check: Callable[[], None]
) -> int:
    """Send requests until `end_s`, and return how many were answered. `check` raises where the demo must end."""
    running: set[asyncio.Task[int]] = set()
    answered = 0
    async with aiohttp.ClientSession() as session:
        for time_s in traffic.times(time.time(), end_s, per_second):
            check()
            wait_s = time_s - time.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif wait_s < -_BEHIND_S:
                continue  # The machine was busy or asleep: what is missed is not sent in a burst.
            if len(running) >= _AT_ONCE:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                answered += sum(task.result() for task in done)
            request = traffic.request_at(time_s)
            running.add(asyncio.create_task(_send(session, ports[request.endpoint.application], request)))
        return answered + sum(await asyncio.gather(*running))


async def _send(session: aiohttp.ClientSession, port: int, request: Request) -> int:
    headers = {DURATION_HEADER: f"{request.duration_ms:.1f}", STATUS_HEADER: str(request.status)}
    if request.consumer:
        headers[CONSUMER_HEADER] = request.consumer
    url = f"http://127.0.0.1:{port}{request.path}"
    try:
        async with session.request(request.endpoint.method, url, headers=headers) as response:
            await response.read()
    except aiohttp.ClientConnectionError:
        return 0  # The application is being deployed.
    return 1
