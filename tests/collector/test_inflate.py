"""Compressed bodies are inflated piece by piece, and no more members than anybody needs."""

from __future__ import annotations

import gzip

import pytest

from apimetry.collector.body.inflate import MAX_MEMBERS, Inflater
from apimetry.collector.errors import DecodeError
from tests.support.services.collecting import zstd


def inflated(encoding, body):
    inflater = Inflater(encoding)
    inflater.feed(body)
    pieces = []
    while piece := inflater.piece():
        pieces.append(piece)
    inflater.finish()
    return b"".join(pieces)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_members_in_a_row_are_one_body_up_to_their_limit(encoding, compress):
    assert inflated(encoding, compress(b"x") * MAX_MEMBERS) == b"x" * MAX_MEMBERS
    for member in (compress(b"x"), compress(b"")):
        with pytest.raises(DecodeError, match=f"more than {MAX_MEMBERS}"):
            inflated(encoding, member * (MAX_MEMBERS + 1))
