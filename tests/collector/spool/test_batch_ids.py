"""Which batch ids are remembered: all of the window, or the newest of them; and no more than a bound."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from apimetry.collector.spool.batch_ids import ENTRY_BYTES, BatchIds
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.id_set import GENERATIONS, IdSet

KEY = st.integers(0, 60).map(lambda number: number.to_bytes(1, "big") * 16)


def key(number):
    return number.to_bytes(16, "big")


@given(st.lists(st.tuples(KEY, st.integers(0, 30)), max_size=80), st.integers(1, 12), st.integers(GENERATIONS, 100))
def test_newest_within_the_window_are_known_and_no_more_than_a_quarter_above(sent, max_ids, window_us):
    ids, now_us, added = IdSet(window_us=window_us, max_ids=max_ids), 0, {}
    for new, pause_us in sent:
        now_us += pause_us
        ids.forget(now_us)
        if new not in ids:
            ids.add(new, now_us)
            added.pop(new, None)
            added[new] = now_us
        for known in list(added)[-max_ids:]:
            assert known in ids or added[known] <= now_us - window_us
        assert len(ids) <= max_ids + max_ids // GENERATIONS + 1
    ids.forget(now_us + 2 * window_us)
    assert len(ids) == 0


def test_bytes_across_two_keys_of_a_bucket_are_none():
    ids = IdSet(window_us=10**6, max_ids=1000)
    first, second = b"\x10\x01" + b"\x10\x00" * 7, b"\x10\x00" + b"a" * 14
    ids.add(first, 0)
    ids.add(second, 0)
    across = (first + second)[2:18]
    assert across not in ids
    ids.add(across, 0)
    assert all(batch_id in ids for batch_id in (first, second, across))


def test_logs_on_the_disk_are_as_bounded_as_the_memory_and_hold_the_newest(tmp_path):
    def opened():
        ids = BatchIds(RealFiles(), tmp_path, window_s=86_400, max_ids=100)
        ids.load(10**15, [])
        return ids

    ids = opened()
    for number in range(1000):
        ids.write([(key(number), 10**15 + number)], 10**15 + number)
    ids.close()
    size = sum(path.stat().st_size for path in Path(tmp_path).iterdir())
    assert size <= 150 * ENTRY_BYTES
    again = opened()
    assert all(key(number) in again for number in range(900, 1000))
    assert len(again) <= 125
    again.close()


def test_log_outside_the_window_is_removed_by_the_next_start(tmp_path):
    ids = BatchIds(RealFiles(), tmp_path, window_s=10, max_ids=100)
    ids.load(0, [])
    ids.write([(key(1), 5_000_000)], 5_000_000)
    ids.close()
    for now_us, known in ((14_000_000, True), (15_000_000, False)):
        again = BatchIds(RealFiles(), tmp_path, window_s=10, max_ids=100)
        again.load(now_us, [])
        assert (key(1) in again) == known
        again.close()
    assert not list(Path(tmp_path).iterdir())
