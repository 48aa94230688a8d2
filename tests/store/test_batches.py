"""Of the segments that hold a batch exactly one stores it, in whatever order their collectors take their steps."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from apimetry.store import migrations
from apimetry.store.batches import HeldBatch, Other, choose_owners, hold, other_holders
from apimetry.store.client import Store
from apimetry.store.errors import StoreUnavailable

STEPS = 3
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def shared(_server_database) -> Iterator[Store]:
    """The tests use keys of their own, so that they can share the tables."""
    store = Store(_server_database.take().url)
    store.open()
    yield store
    store.close()
    _server_database.give_back()


def batch(*, is_first=False, key=None, received_us=None):
    return HeldBatch(key or secrets.token_bytes(16), received_us or time.time_ns() // 1000, is_first)


class Segment:
    """The steps of a collector for one segment; `left_out` is the outcome, once there is one."""

    def __init__(self, store, *batches, name=None):
        self.store, self.batches = store, batches
        self.name = name or f"{time.time_ns():020d}-{secrets.token_hex(16)}"
        self.left_out = None

    def steps(self):
        hold(self.store, self.name, self.batches)
        yield
        others = other_holders(self.store, self.name, self.batches)
        yield
        owners = choose_owners(self.store, others) if others else {}
        self.left_out = {key for key, owner in owners.items() if owner != self.name}
        yield

    def settle(self):
        for _ in self.steps():
            pass
        return self.left_out

    def stores(self, key):
        return key not in self.left_out


def test_two_segments_store_a_batch_once_in_every_order_of_their_steps(shared):
    for order in set(itertools.permutations("aaabbb")):
        key = secrets.token_bytes(16)
        own = batch()
        segments = {
            # The first attempt is in one, and its repetition in the other.
            "a": Segment(shared, batch(key=key, is_first=True), own),
            "b": Segment(shared, batch(key=key)),
        }
        running = {name: segment.steps() for name, segment in segments.items()}
        for name in order:
            next(running[name])
        assert segments["a"].stores(key) is not segments["b"].stores(key), order
        assert segments["a"].stores(own.key)


@pytest.mark.parametrize("done", range(STEPS))
def test_a_collector_that_is_killed_between_two_steps_and_begins_again_agrees(shared, done):
    key = secrets.token_bytes(16)
    killed, other = Segment(shared, batch(key=key, is_first=True)), Segment(shared, batch(key=key))
    for _ in itertools.islice(killed.steps(), done):
        pass
    other.settle()
    again = Segment(shared, batch(key=key, is_first=True), name=killed.name)
    again.settle()
    assert again.stores(key) is not other.stores(key)
    # What was agreed stays agreed.
    assert again.settle() == again.settle()


def test_a_proposal_that_comes_second_is_not_taken(shared):
    """Two collectors find no owner, and propose: the one whose proposal is on its way while the other's is taken."""
    key = secrets.token_bytes(16)
    late = Overtaken(shared, lambda: choose_owners(shared, {key: Other("one", is_settled=True)}))
    assert choose_owners(late, {key: Other("two", is_settled=True)}) == {key: "one"}
    assert shared.query("SELECT segment FROM batch_owners WHERE key = unhex({key:String})", {"key": key.hex()}) == [
        ("one",)
    ]


class Overtaken:
    """A store in which somebody else acts between this collector's question and its insert."""

    def __init__(self, store, act):
        self._act = act
        self.query, self.cluster, self._insert_blocks = store.query, store.cluster, store.insert_blocks

    def insert_blocks(self, table, token, body):
        self._act()
        self._insert_blocks(table, token, body)


def test_segments_of_four_collectors_that_settle_at_once_store_every_batch_once(shared):
    keys = [secrets.token_bytes(16) for _ in range(20)]
    pairs = list(itertools.combinations(range(4), 2))
    # Each batch is in two of the four.
    held = [[key for number, key in enumerate(keys) if who in pairs[number % len(pairs)]] for who in range(4)]
    segments = [Segment(shared, *(batch(key=key) for key in keys_of)) for keys_of in held]
    threads = [threading.Thread(target=segment.settle) for segment in segments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [key for segment, keys_of in zip(segments, held, strict=True) for key in keys_of if segment.stores(key)]
    assert sorted(stored) == sorted(keys)


def test_a_third_segment_waits_until_two_others_have_agreed(shared):
    key = secrets.token_bytes(16)
    first, second, third = (Segment(shared, batch(key=key)) for _ in range(3))
    first.settle()
    steps = second.steps()
    for _ in range(STEPS - 1):
        next(steps)
    with pytest.raises(StoreUnavailable, match="have not agreed"):
        third.settle()
    for _ in steps:
        pass
    assert third.settle() == second.left_out == {key}
    assert first.stores(key)


def test_a_third_segment_does_not_wait_for_ever_for_a_collector_that_died(shared):
    key = secrets.token_bytes(16)
    first, died, third = (Segment(shared, batch(key=key)) for _ in range(3))
    for age_s, segment in ((30, first), (20, died)):
        shared.command(
            "INSERT INTO batch_holders (key, segment, is_first, at)"
            " SELECT unhex({key:String}), {segment:String}, 0, now64(3) - {age_s:UInt32}",
            {"key": key.hex(), "segment": segment.name, "age_s": age_s},
        )
    assert third.settle() == {key}
    assert died.settle() == {key}
    assert first.settle() == set()


def test_a_repetition_that_comes_a_day_later_is_recognized(shared):
    key = secrets.token_bytes(16)
    first = Segment(shared, batch(key=key, is_first=True))
    first.settle()
    late = Segment(shared, batch(key=key, received_us=time.time_ns() // 1000 + 24 * HOUR_US))
    assert late.settle() == {key}
    # The question ends where no batch can come from: partitions of other days are not read.
    later = Segment(shared, batch(key=key, received_us=time.time_ns() // 1000 + 26 * HOUR_US))
    assert later.settle() == set()


def test_batches_of_a_whole_segment_fit_into_the_steps(shared):
    keys = [secrets.token_bytes(16) for _ in range(32_768)]
    assert Segment(shared, *(batch(key=key) for key in keys)).settle() == set()
    known = Segment(shared, *(batch(key=key) for key in keys))
    hold(shared, known.name, known.batches)
    assert len(other_holders(shared, known.name, known.batches)) == len(keys)


def test_a_migrated_store_passes_the_check_of_its_tokens(shared):
    migrations.check(shared)
