"""What is delivered before an application of ASGI ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apimetry.middleware.asgi import Message, Send
    from apimetry.middleware.recorder import Recorder


class FlushAtShutdown:
    """The lifespan's `send`: delivers what is buffered before the shutdown is reported complete."""

    __slots__ = ("_recorder", "_send")

    def __init__(self, recorder: Recorder, send: Send) -> None:
        self._recorder = recorder
        self._send = send

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        if message["type"].startswith("lifespan.shutdown"):
            await flush_before_end(self._recorder)
        await self._send(message)


async def flush_before_end(recorder: Recorder) -> None:
    """Deliver what is buffered, within the time an exit may take, without blocking the event loop."""
    import asyncio  # noqa: PLC0415  # half of this module's import time; whoever gets here has it already

    timeout_s = recorder.options.exit_timeout_s
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a server on trio: at its shutdown, blocking it harms nobody
        recorder.flush(timeout_s)
    else:
        await loop.run_in_executor(None, recorder.flush, timeout_s)
