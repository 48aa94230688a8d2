"""Run work beside the requests, from the start of a service to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine


@contextlib.asynccontextmanager
async def in_background(name: str, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `work` as a task called `name` until the block ends; then cancel it and wait for its end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
