"""The OpenAPI document is valid, complete and true."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from apimetry.collector.formats.event_structs import JSONEvent
from apimetry.collector.handler import PATHS
from apimetry.collector.otlp_handler import PATH as SPANS_PATH
from apimetry.collector.traffic.handler import PATH as TRAFFIC_PATH
from apimetry.query_api.breakdown import params as breakdown_params
from apimetry.query_api.dashboard.api import PAGES
from apimetry.query_api.openapi.document import build_document
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.timeseries.params import PARAMETERS
from apimetry.query_api.usage import params as usage_params
from apimetry.query_api.values import params as values_params
from apimetry.query_api.versions import params as versions_params
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import COLLECTOR_API

COLLECTOR_PATHS = (*PATHS, SPANS_PATH, TRAFFIC_PATH)

OF_THE_DASHBOARD = {"/s/{id}", "/embed/{id}", "/assets/{name}", "/licenses.txt", *(f"/{page}" for page in PAGES)}
# What a parameter needs beside it.
COMPANIONS = {
    ("/v1/breakdown", "sort"): {"compare": "previous"},
    ("/v1/breakdown", "having"): {"by": "consumer_id"},
}
METHODS = ("get", "post", "patch", "delete", "put")
START = 1_413_295_200


@pytest.fixture(scope="module")
def document():
    # As a client sees it: tuples and other Python things are JSON by then.
    return json.loads(json.dumps(build_document(QuerySettings(), COLLECTOR_API)))


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method], item.get("parameters", [])


def resolved(document, part):
    while "$ref" in part:
        _, kind, name = part["$ref"].removeprefix("#/").split("/")
        part = document["components"][kind][name]
    return part


def validator(document, schema):
    return jsonschema.Draft202012Validator(
        {**schema, "components": document["components"]}, format_checker=jsonschema.FormatChecker()
    )


# They take a code, and a session. `sharing/test_sessions.py` asks them.
WITHOUT_A_KEY = ("signIn", "endSession")


def test_the_document_is_valid_openapi(document):
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_in_the_document_and_nothing_else(document, embedded_service):
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in embedded_service.app.router.routes()
        if route.method != "HEAD" and route.resource.canonical not in OF_THE_DASHBOARD
    }
    described = {(path, method) for path, method, _, _ in operations(document) if path not in COLLECTOR_PATHS}
    assert described == routes


def test_the_collectors_paths_have_its_own_address(document):
    assert all(document["paths"][path]["servers"] for path in COLLECTOR_PATHS)


def test_an_event_has_the_fields_that_the_collector_reads_and_needs_the_same(document):
    event = document["components"]["schemas"]["Event"]
    assert set(event["properties"]) == set(JSONEvent.__struct_fields__)
    required = [field.name for field in msgspec.structs.fields(JSONEvent) if field.required]
    assert sorted(event["required"]) == sorted(required)


def test_every_component_is_used(document):
    text = json.dumps(document)
    for kind in ("schemas", "responses", "parameters"):
        for name in document["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, name


def test_every_example_is_of_its_schema(document):
    checked = 0
    for _, _, operation, shared in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in (resolved(document, reference) for reference in bodies):
            for content in body.get("content", {}).values():
                examples = [example["value"] for example in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                for example in examples:
                    validator(document, content["schema"]).validate(example)
                    checked += 1
        for parameter in (resolved(document, reference) for reference in (*shared, *operation.get("parameters", []))):
            validator(document, parameter["schema"]).validate(parameter["example"])
            checked += 1
    assert checked > 50


def test_the_parser_knows_the_documented_parameters_and_no_others(document):
    described = document["paths"]["/1/timeseries/{start}/{end}/"]["get"]["parameters"]
    names = {resolved(document, parameter)["name"] for parameter in described}
    assert names == {*PARAMETERS, "application"}


def documented_values(document):
    """Every value that the document says each parameter may have, and every bound."""
    described = document["paths"]["/1/timeseries/{start}/{end}/"]["get"]["parameters"]
    for parameter in (resolved(document, reference) for reference in described):
        for schema in parameter["schema"].get("oneOf", [parameter["schema"]]):
            bounds = [schema[name] for name in ("minimum", "maximum") if name in schema]
            values = schema.get("enum") or bounds or parameter["example"]
            for value in [values] if isinstance(values, str) else values:
                yield parameter["name"], str(value)


async def test_every_documented_value_is_accepted_and_its_answer_of_its_schema(document, embedded_service):
    events = [Event(timestamp=(START + i) * 1_000_000, ttfb_us=None) for i in range(3)]
    insert_events(embedded_service.accounts.store, events)
    described = document["paths"]["/1/timeseries/{start}/{end}/"]["get"]["responses"]["200"]
    schema = validator(document, described["content"]["application/json"]["schema"])
    for name, value in documented_values(document):
        answer = await embedded_service.answer(f"/1/timeseries/{START}/{START + 100}/?{name}={quote(value, safe='')}")
        schema.validate(answer)


def requests_of(document, ids):
    """Every documented operation with its example body: first what deletes nothing, the application last."""

    def order(operation):
        return operation[1] == "delete", "applications" in operation[0], operation[0] == "/api/applications/{id}"

    own = (operation for operation in operations(document) if operation[0] not in COLLECTOR_PATHS)
    for path, method, operation, _ in sorted(own, key=order):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if path == "/api/applications" and body:
            body = {**body, "id": "another"}
        kind = next((name for name in ids if f"/{name}s/" in path), "application")
        yield method.upper(), path.format(start=0, end=10, consumer="acme", id=ids[kind]), operation, body


def needed(document, operation):
    """The query parameters that an operation cannot do without."""
    described = [resolved(document, parameter) for parameter in operation.get("parameters", [])]
    return {
        parameter["name"]: parameter["example"]
        for parameter in described
        if parameter["in"] == "query" and parameter.get("required")
    }


async def test_every_operation_answers_as_documented(document, embedded_service):
    key = embedded_service.accounts.keys(embedded_service.organization_id)[1].id
    rule = {"application": "shop", "name": "Silence", "metric": "no_data"}
    response = await embedded_service.request("POST", "/api/alerts", json=rule)
    alert = (await response.json())["alert"]["id"]
    job = (await embedded_service.deleted("/api/applications/shop/events?start=0&end=1"))["id"]
    insert_events(embedded_service.accounts.store, [Event(timestamp=START * 1_000_000)])
    event = (await embedded_service.answer(f"/v1/events?start={START}&end={START + 1}"))["events"][0]["id"]
    session = (await (await embedded_service.request("POST", "/v1/session")).json())["id"]
    share = (await (await embedded_service.request("POST", "/api/shares", json={"application": "shop"})).json())[
        "share"
    ]
    ids = {
        "application": "shop",
        "key": key,
        "alert": alert,
        "job": job,
        "event": event,
        "session": session,
        "share": share["id"],
    }
    for method, path, operation, body in requests_of(document, ids):
        if operation["operationId"] in WITHOUT_A_KEY:
            continue
        for sender in ("nobody", "admin"):
            params = {"application": "shop", **needed(document, operation)}
            response = await embedded_service.request(method, path, sender, json=body, params=params)
            works = sender == "admin" or operation.get("security") == []
            assert (response.status < 300) is works, (method, path)
            described = resolved(document, operation["responses"][str(response.status)])
            if response.content_type == "application/json" and "content" in described:
                schema = described["content"]["application/json"]["schema"]
                validator(document, schema).validate(await response.json())
            else:
                assert response.content_type in described.get("content", {"application/octet-stream": {}})


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/developer/usage", usage_params.PARAMETERS),
        ("/v1/developer/insights", usage_params.WINDOW_PARAMETERS),
        ("/v1/breakdown", breakdown_params.PARAMETERS),
        ("/v1/values", values_params.PARAMETERS),
        ("/v1/versions", versions_params.PARAMETERS),
    ],
)
async def test_analytics_endpoints_take_what_is_documented_and_answer_as_documented(
    document, embedded_service, path, names
):
    now = int(time.time())
    events = [
        Event(
            timestamp=(now - 60 * i) * 1_000_000, status_code=200 + 100 * (i % 4), response_us=10**6, consumer_id="a"
        )
        for i in range(9)
    ]
    insert_events(embedded_service.accounts.store, events)
    operation = document["paths"][path]["get"]
    described = [resolved(document, parameter) for parameter in operation["parameters"]]
    assert {parameter["name"] for parameter in described} == {*names, "application"}
    schema = validator(document, operation["responses"]["200"]["content"]["application/json"]["schema"])
    always = needed(document, operation)
    queries = [{}]
    for parameter in described:
        if parameter["name"] not in ("application", "end"):
            shape, example = parameter["schema"], parameter["example"]
            bounds = [
                shape[name] for name in ("minimum", "maximum") if name in shape and parameter["name"] != "start"
            ]
            values = shape.get("enum") or bounds or (example if isinstance(example, list) else [example])
            queries += [
                {parameter["name"]: value, **COMPANIONS.get((path, parameter["name"]), {})} for value in values
            ]
    queries.append({"start": now - 99, "end": now + 1})
    for params in queries:
        texts = {name: str(value) for name, value in {**always, **params}.items()}
        response = await embedded_service.get(path, params=texts)
        assert response.status == 200, (params, await response.text())
        schema.validate(await response.json())


async def test_organization_answers_are_of_their_schema_with_events_too(document, embedded_service):
    insert_events(embedded_service.accounts.store, [Event(timestamp=(int(time.time()) - 5) * 1_000_000)])
    for path in ("/api/analytics/overview", "/api/buckets", "/api/analytics/buckets/{id}", "/api/organization"):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = await embedded_service.answer(path.format(id="shop"), "admin")
        validator(document, schema).validate(answer)


async def test_the_document_is_served_as_it_is_built(document, embedded_service):
    response = await embedded_service.client.get("/openapi.json")
    assert await response.json() == document
