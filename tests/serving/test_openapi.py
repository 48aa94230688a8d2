"""Schemas that are made of the classes that answers are built as."""

from __future__ import annotations

import enum
from typing import Annotated, Literal, TypedDict

import msgspec
import pytest
from msgspec import Meta

from apimetry.serving.answer_types import Count, Time, one_of
from apimetry.serving.openapi import answer_schemas, classes_in, joined, json_content, schema

MOST_ROWS = 4


class State(enum.Enum):
    on = "on"
    off = "off"


class Row(TypedDict):
    """A row.

    It has a name.
    """

    name: str
    count: Annotated[Count, Meta(description="How many.")]


class _Answered(TypedDict):
    rows: Annotated[list[Row], Meta(max_length=MOST_ROWS)]
    last: Annotated[Time | None, Meta(description="Null: never.")]
    best: Row | None
    state: State
    kind: Literal["small"] | None
    size: Annotated[str, one_of(("xl", "l"))]
    by_name: dict[str, State]
    point: tuple[int, float | None]


class Answer(_Answered, total=False):
    """An answer."""

    first: Row


class Slow(msgspec.Struct, tag="slow", tag_field="type", rename="camel"):
    """Slow."""

    took_ms: float


class Wrong(msgspec.Struct, tag="wrong", tag_field="type"):
    """Wrong."""

    share: float


class Findings(TypedDict):
    """What was found."""

    rows: list[Slow | Wrong]


def test_members_keep_their_order_and_only_those_of_a_class_without_total_may_be_missing():
    answer = answer_schemas(Answer)["Answer"]
    names = ["rows", "last", "best", "state", "kind", "size", "by_name", "point", "first"]
    assert list(answer["properties"]) == names
    assert answer["required"] == names[:-1]
    assert answer["additionalProperties"] is False


def test_docstrings_and_meta_describe_and_limit():
    schemas = answer_schemas(Answer)
    assert schemas["Answer"]["description"] == "An answer."
    assert schemas["Row"] == {
        "description": "A row.\n\nIt has a name.",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer", "minimum": 0, "description": "How many."},
        },
        "required": ["name", "count"],
        "additionalProperties": False,
    }
    assert schemas["Answer"]["properties"]["rows"] == {"type": "array", "items": schema(Row), "maxItems": 4}


def test_null_is_one_of_the_types_or_a_second_schema_beside_a_class():
    members = answer_schemas(Answer)["Answer"]["properties"]
    assert members["last"] == {"type": ["string", "null"], "format": "date-time", "description": "Null: never."}
    assert members["best"] == {"oneOf": [schema(Row), {"type": "null"}]}
    assert members["kind"] == {"type": ["string", "null"], "enum": ["small", None]}
    assert members["point"]["prefixItems"] == [{"type": "integer"}, {"type": ["number", "null"]}]


def test_enumerations_are_written_where_they_are_used():
    schemas = answer_schemas(Answer)
    members = schemas["Answer"]["properties"]
    assert set(schemas) == {"Answer", "Row"}
    assert sorted(members["state"]["enum"]) == ["off", "on"]
    assert members["by_name"]["additionalProperties"] == members["state"]
    assert members["size"] == {"type": "string", "enum": ["xl", "l"]}


def test_shapes_of_a_mixed_list_are_told_apart_by_their_tag():
    schemas = answer_schemas(Findings)
    assert schemas["Findings"]["properties"]["rows"]["items"]["oneOf"] == [schema(Slow), schema(Wrong)]
    assert schemas["Slow"]["properties"] == {
        "type": {"type": "string", "enum": ["slow"]},
        "tookMs": {"type": "number"},
    }


def test_two_classes_of_one_name_are_refused():
    def another():
        class Row(TypedDict):
            other: int

        return Row

    with pytest.raises(ValueError, match="called Row"):
        answer_schemas(Answer, another())


def test_two_different_components_of_one_name_are_refused():
    assert joined(answer_schemas(Row), answer_schemas(Answer)) == answer_schemas(Answer)
    with pytest.raises(ValueError, match="called Row"):
        joined(answer_schemas(Row), {"Row": {"type": "object"}})


def test_classes_of_answers_are_known_from_what_refers_to_them():
    content = json_content(Answer, example={})
    assert classes_in({"responses": [{"content": content}, json_content("Row"), json_content(Row)]}) == {Answer, Row}
    assert classes_in(content) == {Answer}
