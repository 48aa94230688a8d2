"""The quarantine has bounds on its bytes, its pieces and its memory."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest

from apimetry.collector.spool.quarantine import MAX_PIECES, NAME_BYTES, NOTE, Quarantine
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


@pytest.fixture
def quarantine():
    return Quarantine(FullFolder(), FOLDER, max_bytes=2**40)


def test_a_piece_beyond_the_limit_is_dropped_and_counted(quarantine, caplog):
    quarantine.open()
    assert len(quarantine) == MAX_PIECES
    assert quarantine.size_bytes == 20 * MAX_PIECES
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
