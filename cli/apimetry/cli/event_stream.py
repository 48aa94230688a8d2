"""Read server-sent events from the query service (the HTML standard, section 9.2), and come back after a break."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException

import click
import msgspec

from apimetry.cli.client import Client

# As the service asks of browsers (`retry`).
PAUSE_S = 2.0


@dataclass(frozen=True)
class Message:
    """One message: its kind, its id (empty for none), and the object in its data."""

    kind: str
    id: str
    data: dict[str, object]


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """Yield the messages of a stream; a message that its connection broke is left out.

    Raises:
        ValueError: the data of a message is not a JSON object.
    """
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields:
            # msgspec's errors are ValueErrors.
            data = msgspec.json.decode(fields["data"], type=dict[str, object])
            yield Message(fields.get("event", "message"), fields.get("id", ""), data)
        fields = {}


class Follower:
    """Follows a stream over its ends. Its mutable state is the id of the last message.

    Args:
        first: opens the first connection.
        later: opens the others; it may be more patient.
        path: the stream's path, with its query string.
        sleep: waits between two connections.
    """

    def __init__(
        self, first: Client, later: Client, path: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._later = later
        self._path = path
        self._sleep = sleep
        self._last_id = ""
        # From here on nothing that arrives is missed.
        self._opened = first.stream(path)

    def messages(self) -> Iterator[Message]:
        """Yield all messages except the ends of connections, for ever.

        Raises:
            click.ClickException: the service refused to go on, or could not be reached for too long.
        """
        while True:
            try:
                with self._opened as lines:
                    for message in messages(lines):
                        self._last_id = message.id or self._last_id
                        if message.kind != "end":
                            yield message
            except (OSError, HTTPException):
                # The connection broke, and the next one goes on where it was.
                pass
            except ValueError:
                raise click.ClickException(self._later.foreign_message()) from None
            self._sleep(PAUSE_S)
            headers = {"Last-Event-ID": self._last_id} if self._last_id else None
            self._opened = self._later.stream(self._path, headers)
