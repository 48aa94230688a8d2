"""The parameters of a page of events, its cursors, and the ids of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.events.params import FIELDS, EventsQuery, parse_events, parse_one_event
from apimetry.query_api.events.positions import Cursor, Position, cursor_of, cursor_text, event_id, position_of_id
from apimetry.query_api.planning import event_fields
from apimetry.query_api.planning.filters import Filter
from apimetry.serving.errors import BadRequest

NOW = 1_500_000_000
NUMBERS = st.integers(0, 2**64 - 1)
POSITIONS = st.builds(Position, NUMBERS, NUMBERS, st.integers(1, 2**32 - 1))


def test_without_parameters_it_is_the_last_day_newest_first():
    assert parse_events([], NOW) == EventsQuery(NOW - 86_400, NOW, (), newest_first=True, limit=50, fields=FIELDS)


def test_all_parameters_are_read():
    query = parse_events(
        [
            *(("start", "10"), ("end", "20"), ("order", "asc"), ("limit", "500"), ("fields", "url,timestamp")),
            *(("include", "method:GET"), ("trace_id", "0AF7651916CD43DD8448EB211C80319C")),
        ],
        NOW,
    )
    assert query == EventsQuery(
        10, 20, (Filter("method", ("GET",)),), newest_first=False, limit=500, fields=("url", "timestamp"),
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )  # fmt: skip


def test_a_page_after_the_first_keeps_the_first_ones_range_unless_it_names_another():
    position = Position(7, 8, 9)
    text = cursor_text(Cursor(position, 100, 200))
    later = parse_events([("cursor", text)], NOW)
    assert (later.start, later.end, later.after) == (100, 200, position)
    named = parse_events([("cursor", text), ("start", "50"), ("end", "60")], NOW)
    assert (named.start, named.end, named.after) == (50, 60, position)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("start", "yesterday", "start is 'yesterday'"),
        ("start", str(NOW), "start must be before end"),
        ("limit", "0", "a whole number, 1 to 500"),
        ("limit", "501", "a whole number, 1 to 500"),
        ("order", "newest", "desc, asc"),
        ("cursor", "eyJ0Ijox", "cursor is 'eyJ0Ijox'; allowed: the text that an answer has as `next`"),
        ("cursor", cursor_text(Cursor(Position(1, 1, 1), 9, 9)), "allowed: the text"),
        ("cursor", cursor_text(Cursor(Position(1, 1, 1), 9, 2**60)), "allowed: the text"),
        ("fields", "id", "fields is 'id'"),
        ("trace_id", "0af76519", "32 hexadecimal digits"),
        ("trace_id", "g" * 32, "32 hexadecimal digits"),
        ("offset", "5", "a parameter's name is 'offset'"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(name, value, part):
    with pytest.raises(BadRequest) as refused:
        parse_events([(name, value)], NOW)
    assert part in str(refused.value)


def test_one_event_takes_fields_alone():
    assert parse_one_event([("fields", "url")]).fields == ("url",)
    with pytest.raises(BadRequest):
        parse_one_event([("start", "1")])


@given(POSITIONS)
def test_an_id_is_read_back(position):
    assert position_of_id(event_id(position)) == position


@given(POSITIONS, NUMBERS, NUMBERS)
def test_a_cursor_is_read_back(position, start, end):
    cursor = Cursor(position, start, end)
    assert cursor_of(cursor_text(cursor)) == cursor


@given(st.text(max_size=60) | st.text("AZaz09-_=", min_size=26, max_size=28))
def test_a_text_is_the_id_that_would_be_written_or_no_id(text):
    position = position_of_id(text)
    assert position is None or event_id(position) == text


def test_all_fields_are_those_of_the_collectors_json():
    assert sorted(FIELDS) == sorted(event_fields.FIELDS)
