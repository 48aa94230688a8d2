"""The running services answer whatever fits the OpenAPI document, and whatever does not, as the document says.

Schemathesis makes the requests. Its pytest plugin is not used: every operation is one test here, which goes over both
the data that fits the schemas and the data that does not.
"""

from __future__ import annotations

import json
import time
import urllib.request

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apimetry.query_api.openapi.document import build_document
from apimetry.query_api.settings import QuerySettings
from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY
from tests.support.services.processes import APPLICATION, BOOTSTRAP, post_events, running
from tests.support.services.query_service import COLLECTOR_API

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(build_document(QuerySettings(), COLLECTOR_API))))
# The key is sent by the test.
SCHEMA.config.generation.update(with_security_parameters=False)
OPERATIONS = {
    operation.definition.raw["operationId"]: operation
    for operation in (result.ok() for result in SCHEMA.get_all_operations())
    # The same handlers under other paths, and a stream, which ends after 15 minutes.
    if not operation.definition.raw["operationId"].endswith(("WithoutSlash", "Plural", "streamEvents"))
}
COLLECTOR_PATHS = ("/1/event", "/v1/traces", "/metrics/traffic")
# Each of them waits for the engine to rewrite what is stored.
SLOW = {"deleteEvents", "deleteConsumer", "deleteApplication"}
# They take a session and a code. `sharing/test_sessions.py` asks them.
WITHOUT_A_KEY = {"endSession", "signIn"}
# Of these only an id can be wrong: that is a 404, and no id is wrong by its form.
WITHOUT_WRONG_DATA = {
    name
    for name, operation in OPERATIONS.items()
    if not operation.body and not operation.query and operation.path != "/1/timeseries/{start}/{end}/"
}


@schemathesis.serializer("application/msgpack")
def _as_it_is(_, body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class Services:
    """`apimetry serve` with some events, and the ids of things that operations can be about."""

    def __init__(self, service):
        self.collector_url, self.query_url = service.collector_url, service.query_url
        now = time.time()
        event = {"timestamp": now, "method": "GET", "url": "/", "response_us": 5, "status_code": 200}
        status, _ = post_events(service.collector_url, [{**event, "timestamp": now - 60 * i} for i in range(99)])
        assert status == 200
        self._asked("POST", "api/applications", {"name": "Doomed", "id": "doomed"})
        job = self._asked("DELETE", f"api/applications/{APPLICATION}/events?start=0&end=1")["job"]["id"]
        self._ids = {
            "getEvent": self._stored_event(),
            "jobs": job,
            "deleteApplication": "doomed",
            "applications": APPLICATION,
            "buckets": APPLICATION,
        }
        for name in ("rotateKey", "keys"):
            key = {"kind": "read", "application": APPLICATION}
            self._ids[name] = self._asked("POST", "api/keys", key)["key"]["id"]
        self._ids["sessions"] = self._asked("POST", "v1/session", {})["id"]
        self._ids["shares"] = self._asked("POST", "api/shares", {"application": APPLICATION})["share"]["id"]
        for name in ("deleteAlert", "alerts"):
            rule = {"application": APPLICATION, "name": "Silence", "metric": "no_data"}
            self._ids[name] = self._asked("POST", "api/alerts", rule)["alert"]["id"]

    def url(self, operation):
        return self.collector_url if operation.path.startswith(COLLECTOR_PATHS) else self.query_url

    def key(self, operation):
        """A key that implies its application where one will do: then nothing is refused for want of one."""
        if operation.path.startswith(COLLECTOR_PATHS):
            return READ_KEY if operation.path == "/metrics/traffic" else WRITE_KEY
        return READ_KEY if operation.path.startswith(("/1/", "/v1/")) else ADMIN_KEY

    def id_for(self, operation):
        """Of something that is there: of its own, where the operation makes an end to it."""
        name = operation.definition.raw["operationId"]
        return self._ids.get(name) or next(of for kind, of in self._ids.items() if f"/{kind}/" in operation.path)

    def _stored_event(self):
        """The id of an event, which is stored within moments."""
        for _ in range(600):
            if events := self._asked("GET", f"v1/events?application={APPLICATION}&limit=1")["events"]:
                return events[0]["id"]
            time.sleep(0.05)
        raise AssertionError("no event was stored")

    def _asked(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.query_url}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-API-Key": ADMIN_KEY},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    settings = {"APIMETRY_TRAFFIC_METRICS": "true", **BOOTSTRAP}
    with running("serve", data_dir=tmp_path_factory.mktemp("services"), **settings) as service:
        yield Services(service)


def meant(case, services):
    """Make of a request that fits the schemas one that is about something, and keeps the rules between fields."""
    if case.query.get("application"):
        case.query["application"] = APPLICATION
    if "id" in case.path_parameters:
        case.path_parameters["id"] = services.id_for(case.operation)
    for values in (case.path_parameters, case.query):
        if not is_empty(values.get("start")) and not is_empty(values.get("end")):
            start, end = sorted((int(values["start"]), int(values["end"])))
            values["start"], values["end"] = start, max(end, start + 1)
    if not is_empty(case.query.get("start")):
        case.query.pop("timeframe", None)
    elif "timeframe" in case.query:
        case.query.pop("end", None)
    # A cursor is made by the page before.
    case.query.pop("cursor", None)
    case.headers.pop("Content-Encoding", None)
    if isinstance(case.body, dict) and "application" in case.body and case.body.get("kind") != "admin":
        case.body = {**case.body, "application": APPLICATION}
    if isinstance(case.body, (dict, list)):
        case.body = whole(case.body)
    for event in case.body if isinstance(case.body, list) else ():
        # As old as an event may be.
        event["timestamp"] = time.time() - event["timestamp"] % 86_400


def whole(value):
    """Write whole numbers without a fraction: JSON Schema takes 5.0 for one, and the services do not."""
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_empty(value):
    return value in ("", None) or (isinstance(value, (list, dict)) and all(map(is_empty, value)))


def settings(name):
    return hypothesis.settings(
        max_examples=2 if name in SLOW else 10,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in WITHOUT_A_KEY])
def test_what_fits_the_document_is_answered_as_documented(services, name):
    operation, statuses = OPERATIONS[name], []

    @settings(name)
    @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def conforms(case):
        meant(case, services)
        response = case.call(base_url=services.url(operation), headers={"X-API-Key": services.key(operation)})
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    conforms()
    assert min(statuses) < 300, "nothing that fits was taken"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in WITHOUT_WRONG_DATA])
def test_what_does_not_fit_the_document_is_refused_as_documented(services, name):
    operation = OPERATIONS[name]

    @settings(name)
    @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def conforms(case):
        # An empty parameter counts as absent, and whatever is said of these is a text.
        hypothesis.assume(not any(map(is_empty, case.query.values())))
        hypothesis.assume(not case.query.keys() & {"consumer_id", "route", "method"})
        response = case.call(base_url=services.url(operation), headers={"X-API-Key": services.key(operation)})
        # A body over the limit is refused unread, as documented; the checks' list of refusals lacks that status.
        hypothesis.assume(response.status_code != 413)
        case.validate_response(response, checks=CHECKS)

    conforms()
