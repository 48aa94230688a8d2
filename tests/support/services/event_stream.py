"""Reads server-sent events from a response of aiohttp, as a browser does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass


@dataclass
class Message:
    """One message: its kind (None for a comment), its id, and its data."""

    kind: str | None
    id: str | None = None
    data: object = None


class EventStream:
    """The messages of a response that does not end."""

    def __init__(self, response):
        self.response = response
        self.retry_ms = None

    async def next(self):
        """The next message, None at the end of the response."""
        message = Message(None)
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), 30)).decode()
            if not line:
                return None
            if line == "\n":
                if message.kind or message.id == "comment":
                    return message
                continue
            name, _, value = line.rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            if name == "":
                message.id = "comment"
            elif name == "retry":
                self.retry_ms = int(value)
            elif name == "event":
                message.kind = value
            elif name == "id":
                message.id = value
            elif name == "data":
                message.data = json.loads(value)

    async def requests(self, count):
        """The next `count` requests; fails at any other message."""
        messages = [await self.next() for _ in range(count)]
        assert [message.kind for message in messages] == ["request"] * count, messages
        return messages
