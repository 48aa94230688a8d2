"""The OpenAPI document as HTML, without a script. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from apimetry.serving.openapi import ALIAS_OF

_METHODS = ("get", "post", "patch", "delete")


def reference_html(document: Mapping[str, Any]) -> str:
    """Return the body of a page that describes every operation of `document`."""
    return "\n".join(_sections(document))


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    yield _paragraphs(document["info"]["description"])
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><p class=soft>{_text(tag['description'])}</p>"
        for path, item in document["paths"].items():
            for method in _METHODS:
                if method in item and tag["name"] in item[method]["tags"] and ALIAS_OF not in item[method]:
                    yield _operation(document, path, method, item)


def _operation(document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any]) -> str:
    operation = item[method]
    parameters = [
        _resolved(document, parameter)
        for parameter in (*item.get("parameters", ()), *operation.get("parameters", ()))
    ]
    return "".join(
        (
            f'<details><summary><span class="method">{method.upper()}</span><h3><code>{escape(path)}</code></h3>',
            f'<span class="about">{_text(operation["summary"])}</span></summary>',
            _also(document, path, method),
            _paragraphs(operation.get("description", "")),
            _parameter_table(parameters),
            _request_body(operation),
            _responses(document, operation),
            "</details>",
        )
    )


def _also(document: Mapping[str, Any], path: str, method: str) -> str:
    """Return where else the operation is: on which server, and under which other paths."""
    servers = document["paths"][path].get("servers", ())
    hosts = [f"<code>{escape(_address(server))}</code>" for server in servers]
    aliases = [
        f"<code>{escape(alias)}</code>"
        for alias, item in document["paths"].items()
        if item.get(method, {}).get(ALIAS_OF) == path
    ]
    at = f"At the collector, by default {' or '.join(hosts)}. " if hosts else ""
    also = f"The same at {', '.join(aliases)}." if aliases else ""
    return f"<p>{at}{also}</p>" if at or also else ""


def _address(server: Mapping[str, Any]) -> str:
    defaults = {name: variable["default"] for name, variable in server.get("variables", {}).items()}
    return str(server["url"]).format(**defaults)


def _parameter_table(parameters: list[Mapping[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{_values(parameter['schema'])}</td>"
        f"<td>{_text(parameter['description'])}</td></tr>"
        for parameter in parameters
    )
    return f"<table><tr><th>Parameter</th><th>Values</th><th>Meaning</th></tr>{rows}</table>"


def _values(schema: Mapping[str, Any]) -> str:
    """Return what a parameter may be, in words."""
    if "oneOf" in schema:
        return " or ".join(_values(alternative) for alternative in schema["oneOf"])
    default = f" (default <code>{escape(str(schema['default']))}</code>)" if "default" in schema else ""
    if "enum" in schema:
        return (
            ", ".join(
                f"<code>{escape(value)}</code>" for value in _shortened([str(value) for value in schema["enum"]])
            )
            + default
        )
    if schema.get("type") == "array":
        items = schema["items"]
        return f"{'<code>field:value</code>' if 'pattern' in items else _values(items)}, repeatable"
    if schema.get("type") == "integer":
        most = f" to {schema['maximum']}" if "maximum" in schema else " or more"
        return f"{schema.get('minimum', 0)}{most}{default}"
    return f"text{default}"


def _shortened(values: list[str]) -> list[str]:
    """Return the values, with all the percentiles as two."""
    percentiles = [value for value in values if value.startswith("percentile_")]
    other_values = [value for value in values if value not in percentiles]
    return [*other_values, f"{percentiles[0]} … {percentiles[-1]}"] if percentiles else other_values


def _request_body(operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    example = operation["requestBody"]["content"]["application/json"]["example"]
    return f"<p>Body, JSON:</p>{_json(example)}"


def _responses(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    rows: list[str] = []
    examples: list[str] = []
    for status, response in sorted(operation["responses"].items()):
        resolved = _resolved(document, response)
        rows.append(f"<tr><td><code>{status}</code></td><td>{_text(resolved['description'])}</td></tr>")
        if status.startswith("2"):
            examples.extend(_examples(resolved))
    return f"<table><tr><th>Status</th><th>Meaning</th></tr>{''.join(rows)}</table>{''.join(examples)}"


def _examples(response: Mapping[str, Any]) -> Iterator[str]:
    content = response.get("content", {}).get("application/json", {})
    if "example" in content:
        yield _json(content["example"])
    for example in content.get("examples", {}).values():
        yield f"<p>{_text(example['summary'])}:</p>{_json(example['value'])}"


def _json(value: object) -> str:
    return f"<pre><code>{escape(json.dumps(value, indent=2))}</code></pre>"


def _paragraphs(text: str) -> str:
    """Return paragraphs of text, with what stands in backticks as code."""
    return "".join(f"<p>{part}</p>" for part in _text(text).split("\n\n") if part.strip())


def _text(text: str) -> str:
    """Return text with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    _, kind, name = part["$ref"].removeprefix("#/").split("/")
    component: Mapping[str, Any] = document["components"][kind][name]
    return component
