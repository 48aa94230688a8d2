"""Types of the members of answers. Each carries what the OpenAPI document says about it.

An answer's shape is a `TypedDict` or a `msgspec.Struct` whose members have these types, or others in the same form:
`Annotated[TYPE, Meta(ge=…, le=…, max_length=…, description=…)]`. `apimetry.serving.openapi.answer_schemas` makes its
schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
"""A whole number from 0 on."""

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in UTC as ISO 8601."""

AlwaysTrue = Annotated[bool, Meta(description="Always true.")]
"""True. A type of one value is not used, because client generators write code for it that does not parse."""


def one_of(values: Iterable[str]) -> Meta:
    """Return what says that a text is one of `values`, for values that the code has as a table."""
    return Meta(extra_json_schema={"enum": list(values)})
