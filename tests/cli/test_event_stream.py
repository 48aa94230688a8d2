"""A followed stream goes on where it was, and its text is read as the standard says."""

from __future__ import annotations

import io
import itertools

import click
import pytest

from apimetry.cli.event_stream import Follower, Message, messages

FIRST = b"""retry: 2000

: a comment

event: request
id: one
data: {"url":"/1"}

event: thinned
data: {"shown":1,"of":9}

"""


def test_comments_and_fields_without_data_are_no_messages():
    assert list(messages(FIRST.splitlines(keepends=True))) == [
        Message("request", "one", {"url": "/1"}),
        Message("thinned", "", {"shown": 1, "of": 9}),
    ]


def test_a_message_that_its_connection_broke_is_left_out():
    assert list(messages([b"event: request\n", b'data: {"url": "/1"}\n'])) == []


class Broken(io.BytesIO):
    """A connection that breaks after its content."""

    def __next__(self):
        line = self.readline()
        if not line:
            raise ConnectionResetError
        return line


class Streams:
    """Stand in for a client with a list of streams."""

    def __init__(self, *streams):
        self._streams = list(streams)
        self.headers = []

    def stream(self, path, headers=None):
        self.headers.append(headers)
        if not self._streams:
            raise click.ClickException("refused")
        return self._streams.pop(0)

    def foreign_message(self):
        return "another service"


def test_a_broken_and_an_ended_stream_are_followed_from_the_last_event_on():
    second = b'event: request\nid: two\ndata: {"url":"/2"}\n\nevent: end\ndata: {"reason":"15 minutes are over"}\n\n'
    third = b'event: request\nid: three\ndata: {"url":"/3"}\n\n'
    client, pauses = Streams(Broken(FIRST), io.BytesIO(second), io.BytesIO(third)), []
    following = Follower(client, client, "/v1/events/live", sleep=pauses.append)
    kinds = [message.kind for message in itertools.islice(following.messages(), 4)]
    assert kinds == ["request", "thinned", "request", "request"]
    assert client.headers == [None, {"Last-Event-ID": "one"}, {"Last-Event-ID": "two"}]
    assert pauses == [2.0, 2.0]


def test_a_refusal_ends_the_following():
    following = Follower(client := Streams(io.BytesIO(FIRST)), client, "/v1/events/live", sleep=lambda _: None)
    with pytest.raises(click.ClickException, match="refused"):
        list(following.messages())


def test_an_answer_that_is_no_stream_of_ours_is_named():
    following = Follower(client := Streams(io.BytesIO(b"data: [1\n\n")), client, "/v1/events/live")
    with pytest.raises(click.ClickException, match="another service"):
        list(following.messages())
