from __future__ import annotations

import importlib.metadata

import msgpack
import pytest

from apimetry.middleware.wire import EVENT_DEFAULTS, EVENT_FIELDS, LIBRARY_VERSION, VERSION, encode_batch

ROW = (
    1_700_000_000_000_000,
    "GET",
    "/v1/scores/17",
    "/v1/scores/{identity}",
    "app.scores",
    200,
    4200,
    4100,
    0,
    512,
    "c0ffee",
    "",
    "",
    "",
    1,
    None,
)


def test_batch_is_one_map_that_msgpack_reads_back():
    body = encode_batch(b"i" * 16, {"source": "web", "captured": 3}, [ROW, ROW])
    assert msgpack.unpackb(body) == {
        "v": VERSION,
        "id": b"i" * 16,
        "sender": {"source": "web", "captured": 3},
        "events": [list(ROW), list(ROW)],
    }


def test_version_is_the_distributions():
    assert importlib.metadata.version("apimetry") == LIBRARY_VERSION


def test_every_field_has_a_default():
    assert len(EVENT_FIELDS) == len(EVENT_DEFAULTS) == 16


def test_event_takes_well_under_100_bytes():
    first, second = (len(encode_batch(b"i" * 16, {}, [ROW] * n)) for n in (1, 2))
    assert second - first < 90


def test_same_arguments_make_the_same_bytes():
    assert encode_batch(b"i" * 16, {"source": "a"}, [ROW]) == encode_batch(b"i" * 16, {"source": "a"}, [ROW])


def test_lone_surrogate_costs_a_character_not_the_batch():
    body = encode_batch(b"i" * 16, {}, [(1, "GET", "/caf\udce9")])
    assert msgpack.unpackb(body)["events"] == [[1, "GET", "/caf?"]]


@pytest.mark.parametrize("length", [0, 15, 17])
def test_batch_id_of_another_length_is_refused(length):
    with pytest.raises(ValueError, match=f"{length} bytes, expected 16"):
        encode_batch(b"i" * length, {}, [ROW])
