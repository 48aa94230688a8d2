"""What one client gets of the events of an application, and when its stream ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.events.batches import PLACES, Batch, batches_after, choose, newest_within
from apimetry.query_api.events.params import FIELDS
from apimetry.query_api.events.positions import Position, event_id
from apimetry.query_api.events.stream import MAX_PART_BYTES, MAX_WAITING_BYTES, LiveQuery, Stream, TookTooLong
from apimetry.query_api.planning.filters import Filter
from apimetry.query_api.queueing.askers import Client
from apimetry.query_api.queueing.fair_queue import Asker
from apimetry.query_api.settings import LiveLimits
from apimetry.serving.errors import Unauthorized
from apimetry.store.errors import StoreUnavailable
from tests.support.oracles.query_events import Event

ALL = LiveQuery((), ("timestamp", "status_code"))
QUICK = LiveLimits(poll_s=0.001, patience_s=0.01)


def event(number, **values):
    stored = Event(timestamp=number, **values)
    return Position(number, 7, 1), tuple(getattr(stored, name) for name in PLACES)


def batch(numbers, *, second=1, seconds=1.0, total=None, **values):
    events = [event(number, **values) for number in numbers]
    return Batch(second, seconds, events, len(events) if total is None else total)


def numbers_in(events):
    return [position.timestamp_us for position, _ in events]


def passes_all(_):
    return True


@given(st.integers(0, 300), st.integers(1, 60), st.floats(0, 3))
def test_too_many_events_are_thinned_evenly(count, events_per_s, seconds):
    chosen = choose(batch(range(count), seconds=seconds), passes_all, events_per_s)
    numbers = numbers_in(chosen.events)
    assert chosen.matching == count
    assert len(numbers) == min(count, max(events_per_s, int(events_per_s * seconds)))
    assert numbers == sorted(set(numbers))
    gaps = [after - before for before, after in itertools.pairwise(numbers)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_events_that_were_not_read_count_with_the_share_that_passes():
    chosen = choose(batch(range(100), total=5000), lambda row: row[PLACES["method"]] == "GET", 50)
    assert (len(chosen.events), chosen.matching) == (50, 5000)
    assert choose(batch([], total=9), passes_all, 50).matching == 0


def test_a_client_that_comes_back_gets_what_came_after_its_last_event():
    batches = [batch([5, 9], second=1), batch([3, 10], second=2)]

    def after(number):
        return [numbers_in(part.events) for part in batches_after(batches, Position(number, 7, 1))]

    # By arrival where the event is known, else by time.
    assert after(5) == [[9], [3, 10]]
    assert after(9) == [[], [3, 10]]
    assert after(10) == [[]]
    assert after(4) == [[5, 9], [10]]
    assert after(0) == [[5, 9], [3, 10]]


def test_the_newest_events_of_a_batch_are_kept_within_their_size():
    small = batch(range(100))
    assert newest_within(small, small.size) is small
    half = newest_within(small, small.size // 2)
    assert numbers_in(half.events) == list(range(50, 100))
    assert half.total == 50
    assert newest_within(small, 10).events == []


@pytest.mark.parametrize(
    "values",
    [
        {"url": "\U0001f600" + "x" * 2047, "route": "\U0001f600" * 1024},
        {"data": {"\U0001f600" + f"{number:0127d}": "\U0001f600" * 1024 for number in range(64)}},
        {"data": {str(number): "" for number in range(64)}},
        {},
    ],
)
def test_a_batch_takes_no_more_memory_than_it_is_counted_with(values):
    # Made anew for every event, as those of rows are.
    texts = json.dumps(values)
    tracemalloc.start()
    try:
        events = [event(number, **json.loads(texts)) for number in range(1000, 1200)]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= Batch(1, 1.0, events, len(events)).size


class Reader:
    """A client whose key, clock and patience a test holds."""

    def __init__(self, query=ALL, limits=QUICK):
        self.now_s, self.error, self.left, self.stalled = 1000.0, None, False, False
        client = Client(Asker("ours", "key"), lambda: self.left)
        self.stream = Stream(query, client, self._is_allowed, clock=lambda: self.now_s, limits=limits)
        self.written = asyncio.Queue()

    async def _is_allowed(self):
        if self.error is not None:
            raise self.error

    async def write(self, content):
        if self.stalled:
            await asyncio.Event().wait()
        for message in content.decode().split("\n\n")[:-1]:
            self.written.put_nowait(message)

    async def until_end(self):
        await asyncio.wait_for(self.stream.send(self.write), 30)
        return [self.written.get_nowait() for _ in range(self.written.qsize())]


async def test_events_are_messages_with_an_id_and_the_asked_fields():
    reader = Reader()
    reader.stream.take(batch([1_500_000, 2_000_000], status_code=503))
    reader.stream.end("the test is over")
    first, second, end = await reader.until_end()
    identity = event_id(Position(1_500_000, 7, 1))
    assert first == f'event: request\nid: {identity}\ndata: {{"timestamp":1.5,"status_code":503}}'
    assert second.endswith('data: {"timestamp":2.0,"status_code":503}')
    assert end == 'event: end\ndata: {"reason":"the test is over"}'


async def test_a_line_break_in_a_text_ends_no_message():
    reader = Reader(LiveQuery((), FIELDS))
    text = "a\n\nevent: end\r\n\u2028"
    reader.stream.take(batch([1], url=text))
    reader.stream.end("over")
    request, _ = await reader.until_end()
    assert json.loads(request.partition("data: ")[2])["url"] == text


async def test_filters_hold_for_one_client_and_thinning_is_told():
    reader = Reader(LiveQuery((Filter("status_code", (500,)),), ALL.fields))
    reader.stream.take(batch(range(9)))
    reader.stream.take(batch(range(100), second=77, status_code=500))
    reader.stream.end("over")
    *requests, thinned, _ = await reader.until_end()
    assert len(requests) == 50
    assert thinned == 'event: thinned\ndata: {"shown":50,"of":100,"second":77}'


@pytest.mark.parametrize("error", [None, StoreUnavailable("away")])
async def test_a_stream_ends_after_its_longest_time(error):
    reader = Reader()
    reader.error = error
    reader.stream.take(batch([1]))
    sending = asyncio.ensure_future(reader.until_end())
    await reader.written.get()
    assert not sending.done()
    reader.now_s += 900
    assert await sending == ['event: end\ndata: {"reason":"15 minutes are over"}']


async def test_a_stream_ends_when_its_key_is_not_valid_any_more_and_sends_nothing_more():
    reader = Reader()
    reader.error = Unauthorized()
    reader.stream.take(batch([1]))
    assert await reader.until_end() == ['event: end\ndata: {"reason":"the key is not valid any more"}']


async def test_a_silent_stream_sends_a_comment_every_15_seconds():
    reader = Reader()
    reader.stream.take(batch([1]))
    sending = asyncio.ensure_future(reader.until_end())
    await reader.written.get()
    for _ in range(2):
        reader.now_s += 15
        assert await reader.written.get() == ":"
    assert reader.written.empty()
    reader.left = True
    assert await sending == []


async def test_what_waits_for_a_slow_client_is_bounded_and_what_it_missed_is_told():
    reader = Reader(LiveQuery((), FIELDS))
    large = "x" * (MAX_PART_BYTES // 100)
    for second in range(40):
        reader.stream.take(batch(range(50), second=second, url=large))
    waiting = sum(len(part.text) for part in reader.stream._parts)
    assert 0 < waiting <= MAX_WAITING_BYTES
    reader.stream.end("over")
    thinned, *requests, _ = await reader.until_end()
    shown = len(requests)
    first = (2000 - shown) // 50
    assert thinned == f'event: thinned\ndata: {{"shown":0,"of":{2000 - shown},"second":{first}}}'
    assert 0 < shown < 2000


async def test_large_events_of_one_poll_are_thinned_to_a_size():
    reader = Reader(LiveQuery((), FIELDS))
    reader.stream.take(batch(range(50), url="\x01" * (MAX_PART_BYTES // 50)))
    (part,) = reader.stream._parts
    assert len(part.text) <= MAX_PART_BYTES + 100
    reader.stream.end("over")
    *requests, thinned, _ = await reader.until_end()
    assert 0 < len(requests) < 50
    assert thinned == f'event: thinned\ndata: {{"shown":{len(requests)},"of":50,"second":1}}'


async def test_one_event_that_is_larger_than_the_size_is_sent():
    reader = Reader(LiveQuery((), FIELDS))
    reader.stream.take(batch([1, 2], url="x" * (MAX_PART_BYTES + 1)))
    reader.stream.end("over")
    requests, *_ = await reader.until_end()
    assert requests.startswith("event: request")


async def test_a_client_that_takes_nothing_is_given_up():
    reader = Reader()
    reader.stalled = True
    reader.stream.take(batch([1]))
    with pytest.raises(TookTooLong):
        await reader.until_end()
