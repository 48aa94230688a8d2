"""Building blocks of an OpenAPI document: schemas, parameters, responses and operations.

The members, types, limits and enumerations of a body come from the msgspec struct that the service reads the body
with (`struct_schema`). Prose and examples are written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Json = dict[str, object]
"""A JSON object."""

ALIAS_OF = "x-alias-of"
"""The member of an operation that names the path which describes the same operation."""

COUNT: Json = {"type": "integer", "minimum": 0}
# No `const`: client generators write code for it that does not parse.
ALWAYS_TRUE: Json = {"type": "boolean", "description": "Always true."}


def closed(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    """Return an object's schema that allows these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Fragment:
    """One service's part of the document. The query service serves the whole document."""

    paths: Json = field(default_factory=dict)
    schemas: Json = field(default_factory=dict)


def struct_schema(struct: type[msgspec.Struct], prose: Mapping[str, Json] | None = None) -> Json:
    """Return the schema of an object that the service reads as `struct`.

    Args:
        struct: defines the members, their types, limits and defaults, the required ones, and whether unknown members
            are allowed.
        prose: by member, further parts of its schema: a description, or a limit that is checked elsewhere. A
            reference to a component replaces the member's schema.

    Raises:
        LookupError: `prose` names a member that the struct does not have.
    """
    (reference,), components = msgspec.json.schema_components([struct])
    definition: dict[str, Any] = components[str(reference["$ref"]).rpartition("/")[2]]
    members = {name: _inlined(member, components) for name, member in definition["properties"].items()}
    for name, addition in (prose or {}).items():
        if name not in members:
            raise LookupError(f"{struct.__name__} has no member {name}")
        members[name] = addition if "$ref" in addition else {**members[name], **addition}
    closing = {"additionalProperties": False} if definition.get("additionalProperties") is False else {}
    return {"type": "object", "properties": members, "required": definition["required"], **closing}


def _inlined(member: dict[str, Any], components: Mapping[str, Any]) -> Json:
    """Return a member's schema with its references replaced by their schemas, and null as one of its types."""
    if "$ref" in member:
        name = member.pop("$ref").rpartition("/")[2]
        return {**_inlined(dict(components[name]), components), **member}
    for word in ("title", "description"):
        member.pop(word, None)
    if "enum" in member:
        member.setdefault("type", "string")
    if "properties" in member:
        member["properties"] = {name: _inlined(inner, components) for name, inner in member["properties"].items()}
    kinds = member.pop("anyOf", None)
    if kinds is None:
        return member
    (kind,) = (_inlined(alternative, components) for alternative in kinds if alternative != {"type": "null"})
    nullable: Json = {**kind, "type": [kind["type"], "null"], **member}
    if "enum" in nullable:
        nullable["enum"] = [*nullable["enum"], None]  # type: ignore[misc] # msgspec makes a list
    return nullable


def array(items: Json, **more: object) -> Json:
    """Return an array's schema."""
    return {"type": "array", "items": items, **more}


def query_parameter(name: str, description: str, shape: Json, example: object, **more: object) -> Json:
    """Return a parameter of the query string; an empty value counts as absent."""
    return {
        "name": name,
        "in": "query",
        "description": description,
        "allowEmptyValue": True,
        "schema": shape,
        "example": example,
        **more,
    }


def ref(kind: str, name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    """Return a reference to a schema."""
    return ref("schemas", name)


def json_content(name: str, *, example: object = None, examples: Mapping[str, object] | None = None) -> Json:
    """Return a JSON body of the schema `name`."""
    content: Json = {"schema": schema(name)}
    if example is not None:
        content["example"] = example
    if examples is not None:
        content["examples"] = {key: {"summary": key, "value": value} for key, value in examples.items()}
    return {"application/json": content}


def answer(description: str, content: Json | None = None) -> Json:
    """Return a response."""
    return {"description": description, **({"content": content} if content else {})}


def errors(*names: str) -> Json:
    """Return references to the named error responses, by status."""
    return {STATUS_OF[name]: ref("responses", name) for name in names}


def operation(name: str, summary: str, responses: Json, **more: object) -> Json:
    """Return an operation. It needs a key, unless `more` has `security`."""
    return {"operationId": name, "summary": summary, **more, "responses": responses}


STATUS_OF = {
    "BadRequest": "400",
    "Unauthorized": "401",
    "Forbidden": "403",
    "NotFound": "404",
    "TooSlow": "408",
    "Conflict": "409",
    "PayloadTooLarge": "413",
    "UnsupportedMediaType": "415",
    "TooManyRequests": "429",
    "Unavailable": "503",
}
PUBLIC: list[object] = []
"""The `security` of an operation that needs no key."""
