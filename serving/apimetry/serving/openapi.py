"""What an OpenAPI document's paths and schemas are made of.

Members, types, limits and enumerations of a body come from the msgspec struct that the service reads it as
(`struct_schema`). Prose and examples are written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Json = dict[str, object]
"""A JSON object."""

ALIAS_OF = "x-alias-of"
"""The member of an operation that names the path where the same operation is described."""

COUNT: Json = {"type": "integer", "minimum": 0}
# No `const`: generators of clients write code for it that does not parse.
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
    """One service's part of a document that another one serves."""

    paths: Json = field(default_factory=dict)
    schemas: Json = field(default_factory=dict)


def struct_schema(struct: type[msgspec.Struct], prose: Mapping[str, Json] | None = None) -> Json:
    """Return the schema of an object that is read as `struct`.

    Args:
        struct: says the members, their types, limits and defaults, which are needed, and whether others may be there.
        prose: by member, what the struct cannot say: descriptions, limits that are checked elsewhere, or a
            reference to a component in place of all that.

    Raises:
        LookupError: `prose` is about a member that the struct does not have.
    """
    (found,), components = msgspec.json.schema_components([struct])
    definition: dict[str, Any] = components[str(found["$ref"]).rpartition("/")[2]]
    members = {name: _inlined(member, components) for name, member in definition["properties"].items()}
    for name, more in (prose or {}).items():
        if name not in members:
            raise LookupError(f"{struct.__name__} has no member {name}")
        members[name] = more if "$ref" in more else {**members[name], **more}
    closing = {"additionalProperties": False} if definition.get("additionalProperties") is False else {}
    return {"type": "object", "properties": members, "required": definition["required"], **closing}


def _inlined(member: dict[str, Any], components: Mapping[str, Any]) -> Json:
    """Return a member's schema with enumerations and objects in place, and null as one of its types."""
    if "$ref" in member:
        name = member.pop("$ref").rpartition("/")[2]
        return {**_inlined(dict(components[name]), components), **member}
    for word in ("title", "description"):
        member.pop(word, None)
    if "enum" in member:
        member.setdefault("type", "string")
    if "properties" in member:
        member["properties"] = {name: _inlined(each, components) for name, each in member["properties"].items()}
    kinds = member.pop("anyOf", None)
    if kinds is None:
        return member
    (kind,) = (_inlined(each, components) for each in kinds if each != {"type": "null"})
    nullable: Json = {**kind, "type": [kind["type"], "null"], **member}
    if "enum" in nullable:
        nullable["enum"] = [*nullable["enum"], None]  # type: ignore[misc] # a list, from msgspec
    return nullable


def array(items: Json, **more: object) -> Json:
    """Return an array's schema."""
    return {"type": "array", "items": items, **more}


def query_parameter(name: str, description: str, shape: Json, example: object, **more: object) -> Json:
    """Return a parameter of a query string; an empty one counts as absent."""
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
    """Return the named error responses by their status."""
    return {STATUS_OF[name]: ref("responses", name) for name in names}


def operation(name: str, summary: str, responses: Json, **more: object) -> Json:
    """Return an operation; without `security` in `more`, one that needs a key."""
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
"""The `security` of what needs no key."""
