"""A question is counted with at least the memory that it takes, whatever a client puts into it."""

from __future__ import annotations

import tracemalloc

import pytest

from apimetry.query_api.http.query_string import collect
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, filters_of
from apimetry.query_api.question_size import question_bytes

QUERY_CHARACTERS = 8_000
SHAPES = {
    "many values of two letters": lambda n: ("include", f"url:{n:02x}"),
    "many values of another alphabet": lambda n: ("include", f"url:{chr(0x10000 + n)}"),
    "many values of one letter beyond ASCII": lambda n: ("exclude", f"route:{chr(0x100 + n)}"),
    "many texts": lambda n: ("has", f"url:{n:02x}"),
    "control characters": lambda n: ("include", f"url:{chr(1 + n % 20)}{n}"),
    "few long values": lambda n: ("include", f"url:{n}" + "x" * 2000),
    "one letter that makes a long text wide": lambda n: ("include", f"url:{n}\U0001f600" + "x" * 2000),
}


def asked(shape):
    """The parameters of a query string of QUERY_CHARACTERS. Three of them stand for one byte beyond ASCII."""
    parameters, room, number = [], QUERY_CHARACTERS, 0
    while room > 0:
        name, value = shape(number)
        parameters.append((name, value))
        room -= len(name) + len(value.encode()) + 2 * sum(not c.isascii() for c in value) + 2
        number += 1
    return parameters


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_question_takes_no_more_than_it_is_counted_with(shape):
    parameters = asked(shape)
    tracemalloc.start()
    try:
        # Copies: the texts of a query string are made for its request.
        copies = [(name, value.encode().decode()) for name, value in parameters]
        question = filters_of(collect(copies, FILTER_PARAMETERS))
        del copies
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= question_bytes(question)
