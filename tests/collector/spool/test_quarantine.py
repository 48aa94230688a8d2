"""The quarantine has bounds on its bytes, its pieces and its memory."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest

from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.quarantine import MAX_PIECES, MAX_REASON, NAME_BYTES, NOTE, Quarantine
from apimetry.collector.spool.segment import new_token

FOLDER = Path("/quarantine")


class FullFolder:
    """A folder with as many pieces as are allowed, each with its note; it has no bytes of them."""

    def make_folder(self, path):
        return None

    def names(self, folder):
        token = new_token(10**18)
        pieces = [f"{token}-b{number}-r{number}-{number + 1}.rows" for number in range(MAX_PIECES)]
        return [*pieces, *(f"{piece}{NOTE}" for piece in pieces)]

    def size(self, path):
        return 10

    def read(self, path):
        return b'{"rows": 1}'


@pytest.fixture
def quarantine():
    return Quarantine(FullFolder(), FOLDER, max_bytes=2**40)


def test_a_piece_beyond_the_limit_is_dropped_and_counted(quarantine, caplog):
    quarantine.open()
    assert len(quarantine) == MAX_PIECES
    assert quarantine.size_bytes == 20 * MAX_PIECES
    assert quarantine.rows == MAX_PIECES
    assert not quarantine.add("one more", b"rows", reason="refused", rows=3)
    assert quarantine.dropped_pieces == 1
    assert "or 50000 pieces: one more is dropped, 3 rows" in caplog.text


def test_names_of_a_full_quarantine_stay_below_their_bound(quarantine):
    gc.collect()
    tracemalloc.start()
    quarantine.open()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < MAX_PIECES * NAME_BYTES


def test_rows_and_the_newest_reason_are_known_also_after_a_start(tmp_path):
    def opened():
        quarantine = Quarantine(RealFiles(), tmp_path, max_bytes=2**20)
        quarantine.open()
        return quarantine

    first = opened()
    assert (first.rows, first.newest_reason) == (0, "")
    assert first.add("a.rows", b"rows", reason="refused", rows=3)
    assert not first.add("a.rows", b"rows", reason="refused again", rows=3), "a retry counts once"
    assert (first.rows, first.newest_reason) == (3, "refused")
    assert first.add("b.damaged", b"bytes", reason="x" * (MAX_REASON + 1))
    assert (first.rows, first.newest_reason) == (3, "x" * MAX_REASON)

    note = tmp_path / f"a.rows{NOTE}"
    note.write_bytes(note.read_bytes().replace(b'"at":', b'"at":9'))
    assert (opened().rows, opened().newest_reason) == (3, "refused"), "the newest is the newest by its time"
    note.write_bytes(b"no note")
    assert (len(opened()), opened().rows, opened().newest_reason) == (2, 0, "x" * MAX_REASON)
