from __future__ import annotations

import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.collector.body.budget import BudgetExceeded, ByteBudget
from apimetry.collector.body.inflate import PIECE_BYTES, Inflater
from apimetry.collector.errors import DecodeError
from apimetry.collector.failpoints import Failpoints
from apimetry.collector.limits import RateLimiter
from tests.support.services.collecting import zstd

COMPRESS = {"gzip": gzip.compress, "zstd": zstd.compress}


def inflate(encoding, data, step):
    inflater = Inflater(encoding)
    pieces = []
    for start in range(0, len(data), step):
        inflater.feed(data[start : start + step])
        while piece := inflater.piece():
            assert len(piece) <= PIECE_BYTES
            pieces.append(piece)
    inflater.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=4), step=st.integers(1, 500))
def test_members_in_any_pieces_are_one_body(encoding, parts, step):
    data = b"".join(COMPRESS[encoding](part) for part in parts)
    assert inflate(encoding, data, step) == b"".join(parts)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES])
def test_bodies_around_a_pieces_size_are_whole(encoding, size):
    body = os.urandom(size // 2) + bytes(size - size // 2)
    assert inflate(encoding, COMPRESS[encoding](body), 7000) == body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_body_cut_anywhere_is_truncated_or_invalid(encoding):
    data = COMPRESS[encoding](os.urandom(300))
    for length in range(1, len(data)):
        with pytest.raises(DecodeError):
            inflate(encoding, data[:length], 50)


def test_zstd_frame_that_wants_a_large_window_is_refused():
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(bytes(200_000)) + compressor.flush()
    with pytest.raises(DecodeError, match="zstd"):
        inflate("zstd", data, len(data))


def test_budget_refuses_what_exceeds_the_whole_or_a_keys_half():
    budget = ByteBudget(100)
    budget.acquire("a", 50)
    with pytest.raises(BudgetExceeded):
        budget.acquire("a", 1)
    budget.acquire("b", 45)
    with pytest.raises(BudgetExceeded):
        budget.acquire("c", 6)
    assert budget.held == 95
    budget.release("a", 50)
    budget.acquire("c", 50)
    assert budget.held == 95


def test_rate_limiter_lets_bursts_through_and_makes_debtors_wait():
    now = [0.0]
    limiter = RateLimiter(100.0, lambda: now[0])
    limiter.settle("a", limiter.charge("a"), 1500)
    assert (limiter.wait_s("a"), limiter.wait_s("b")) == (5.0, 0.0)
    now[0] = 5.0
    assert limiter.wait_s("a") == 0.0
    now[0] = 1000.0
    limiter.settle("a", limiter.charge("a"), 1000)
    assert limiter.wait_s("a") == 0.0
    unlimited = RateLimiter(0.0)
    unlimited.settle("a", unlimited.charge("a"), 10**9)
    assert unlimited.wait_s("a") == 0.0


def test_after_a_debt_one_batch_is_let_through_and_the_others_wait_behind_it():
    now = [0.0]
    limiter = RateLimiter(100.0, lambda: now[0])
    limiter.settle("a", limiter.charge("a"), 1500)
    now[0] = 6.0
    charged = limiter.charge("a")
    assert (charged, limiter.wait_s("a")) == (1500, 14.0)
    # It held less, or could not be read at all: the rest is given back, and what the next one is charged stays.
    limiter.settle("a", charged, 600)
    assert limiter.wait_s("a") == 5.0
    now[0] = 12.0
    charged = limiter.charge("a")
    limiter.settle("a", charged, 0)
    assert (charged, limiter.wait_s("a"), limiter.charge("a")) == (600, 0.0, 600)


def test_misspelt_failpoint_stops_the_start():
    with pytest.raises(ValueError, match="after_fsync"):
        Failpoints("after_fsnyc:1")
    Failpoints(None).hit("after_fsync")
    Failpoints("after_fsync:2").hit("after_fsync")
