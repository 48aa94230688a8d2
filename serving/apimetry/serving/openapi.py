"""Building blocks of an OpenAPI document: schemas, parameters, responses and operations.

The members, types, limits and enumerations of a request's body come from the msgspec struct that the service reads
the body with (`struct_schema`). Those of an answer, and their descriptions, come from the class that the service
builds the answer as (`answer_schemas`). Examples, and the prose of endpoints, are written by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Json = dict[str, object]
"""A JSON object."""

ALIAS_OF = "x-alias-of"
"""The member of an operation that names the path which describes the same operation."""


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
    (reference,), components = msgspec.json.schema_components([struct], ref_template=_REFERENCE)
    for component in components.values():
        # The docstring of a struct or an enumeration is about the code.
        component.pop("description", None)
    definition = components[_name_in(reference)]
    members = {name: _plain(member, components) for name, member in definition["properties"].items()}
    for name, addition in (prose or {}).items():
        if name not in members:
            raise LookupError(f"{struct.__name__} has no member {name}")
        members[name] = addition if "$ref" in addition else {**members[name], **addition}
    closing = {"additionalProperties": False} if definition.get("additionalProperties") is False else {}
    return {"type": "object", "properties": members, "required": definition["required"], **closing}


def answer_schemas(*answers: type) -> Json:
    """Return the schemas of answers and of all objects in them, by the name of their class.

    Args:
        answers: each a `TypedDict` or a `msgspec.Struct`. A class defines the members, their order, their types and
            limits, and the required ones; no others are allowed. Its docstring describes it. Enumerations are
            written where they are used.

    Raises:
        ValueError: two different classes have the same name.
    """
    _, components = msgspec.json.schema_components(answers, ref_template=_REFERENCE)
    classes = {name: component for name, component in components.items() if "properties" in component}
    others = {name: component for name, component in components.items() if name not in classes}
    for name, component in classes.items():
        if name != component["title"]:
            raise ValueError(f"Two classes of answers are called {component['title']}; one of them is {name}")
    declared = {cls.__name__: cls.__annotations__ for cls in _typed_dicts(msgspec.inspect.multi_type_info(answers))}
    return {
        name: _closed_class(component, declared.get(name, component["properties"]), others)
        for name, component in classes.items()
    }


def _closed_class(component: Mapping[str, Any], order: Iterable[str], inlined: Mapping[str, Any]) -> Json:
    members: Json = {member: _plain(component["properties"][member], inlined) for member in order}
    required = frozenset(component.get("required", ()))
    optional = tuple(member for member in members if member not in required)
    return {**_described(component), **closed(members, optional=optional)}


def _typed_dicts(info: object, visited: set[int] | None = None) -> Iterator[type]:
    """Return the TypedDicts in msgspec's description of types: it has their members in the order of the alphabet."""
    visited = set() if visited is None else visited
    if isinstance(info, msgspec.inspect.TypedDictType):
        if id(info) in visited:
            return
        visited.add(id(info))
        yield info.cls
    parts: Iterable[object] = ()
    if isinstance(info, (list, tuple)):
        parts = info
    elif isinstance(info, msgspec.Struct):
        parts = (getattr(info, name) for name in info.__struct_fields__)
    for part in parts:
        yield from _typed_dicts(part, visited)


_REFERENCE = "#/components/schemas/{name}"


def _name_in(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _described(part: Mapping[str, Any]) -> Json:
    return {"description": inspect.cleandoc(part["description"])} if "description" in part else {}


def _plain(part: Mapping[str, Any], inlined: Mapping[str, Any]) -> Json:
    """Return a schema without titles, with the components `inlined` in the place of their references.

    Null is one of its types: client generators read that better than a choice of two schemas.
    """
    plain: dict[str, Any] = {name: value for name, value in part.items() if name != "title"} | _described(part)
    if "$ref" in plain and _name_in(plain) in inlined:
        component = inlined[_name_in(plain)]
        del plain["$ref"]
        return {**_plain(component, inlined), **plain}
    for word in ("items", "additionalProperties"):
        if isinstance(plain.get(word), dict):
            plain[word] = _plain(plain[word], inlined)
    if "prefixItems" in plain:
        plain["prefixItems"] = [_plain(item, inlined) for item in plain["prefixItems"]]
        # `maxItems` says the same; a client generator stops at `items: false`.
        plain.pop("items", None)
    if "properties" in plain:
        plain["properties"] = {name: _plain(member, inlined) for name, member in plain["properties"].items()}
    if "enum" in plain:
        plain.setdefault("type", "string")
    return _with_null(plain, inlined) if "anyOf" in plain else plain


def _with_null(union: dict[str, Any], inlined: Mapping[str, Any]) -> Json:
    """Return a union: of one schema and null as that schema with one more type, of others as it is."""
    kinds = [_plain(kind, inlined) for kind in union.pop("anyOf")]
    others = [kind for kind in kinds if kind != {"type": "null"}]
    if len(others) > 1 or "$ref" in others[0]:
        return {"oneOf": kinds, **union}
    nullable: Json = {**others[0], "type": [others[0]["type"], "null"], **union}
    if "enum" in others[0]:
        nullable["enum"] = [*others[0]["enum"], None]  # type: ignore[misc] # msgspec makes a list
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


class _ClassReference(dict[str, object]):
    """A reference to the schema of a class, which it remembers."""

    def __init__(self, shape: type) -> None:
        super().__init__(ref("schemas", shape.__name__))
        self.shape = shape


def schema(shape: str | type) -> Json:
    """Return a reference to a schema: by its name, or of a class of answers."""
    return ref("schemas", shape) if isinstance(shape, str) else _ClassReference(shape)


def classes_in(part: object) -> frozenset[type]:
    """Return the classes of answers that a part of the document refers to."""
    if isinstance(part, _ClassReference):
        return frozenset((part.shape,))
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        return frozenset(shape for item in part for shape in classes_in(item))
    return frozenset()


def joined(*parts: Json) -> Json:
    """Return the components of all parts.

    Raises:
        ValueError: two parts have different components of the same name.
    """
    components: Json = {}
    for part in parts:
        for name, component in part.items():
            if components.setdefault(name, component) != component:
                raise ValueError(f"Two different components are called {name}")
    return components


def json_content(
    shape: str | type | Json, *, example: object = None, examples: Mapping[str, object] | None = None
) -> Json:
    """Return a JSON body of a schema: by its name, of a class of answers, or as it is."""
    content: Json = {"schema": shape if isinstance(shape, dict) else schema(shape)}
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
