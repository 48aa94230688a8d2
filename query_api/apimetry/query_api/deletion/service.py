"""Runs the jobs inside the query service, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from apimetry.query_api.deletion.runner import Runner


def running_jobs(runner: Runner) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a cleanup context that does jobs."""

    async def context(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(runner.run(), name="apimetry-jobs")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return context
