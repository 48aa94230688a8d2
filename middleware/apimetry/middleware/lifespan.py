"""Deliver buffered events before an ASGI application ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apimetry.middleware.asgi import Message, Send
    from apimetry.middleware.recorder import Recorder


class FlushAtShutdown:
    """Wrap the lifespan's `send`: deliver buffered events before the shutdown is reported complete."""

    __slots__ = ("_recorder", "_send")

    def __init__(self, recorder: Recorder, send: Send) -> None:
        self._recorder = recorder
        self._send = send

    async def __call__(self, message: Message) -> None:
        """Send a message of the lifespan."""
        if message["type"].startswith("lifespan.shutdown"):
            await flush_before_end(self._recorder)
        await self._send(message)


async def flush_before_end(recorder: Recorder) -> None:
    """Deliver buffered events within `exit_timeout_s`, without blocking the event loop."""
    import asyncio  # noqa: PLC0415 - half of the import time; every caller has imported it

    timeout_s = recorder.options.exit_timeout_s
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a server on trio: blocking does no harm at its shutdown
        recorder.flush(timeout_s)
    else:
        await loop.run_in_executor(None, recorder.flush, timeout_s)
