"""What the document's paths and schemas are made of."""

from __future__ import annotations

from collections.abc import Mapping

from apimetry.query_api.http.json_values import Json

COUNT: Json = {"type": "integer", "minimum": 0}


def closed(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    """Return an object's schema that allows these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


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
