"""OTLP requests for tests: spans as plain objects of OTLP's JSON, and both encodings of them."""

from __future__ import annotations

import base64
import json
import math
import time

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW_NS = time.time_ns()
STABLE = {
    "http.request.method": "GET",
    "url.path": "/v1/scores/7",
    "http.route": "/v1/scores/{identity}",
    "http.response.status_code": 200,
}


# How protobuf's mapping to JSON spells the doubles that JSON has no number for.
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def value_of(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _NOT_FINITE[str(value)]}
    if isinstance(value, list):
        return {"arrayValue": {"values": [value_of(element) for element in value]}}
    return {"stringValue": value}


def attributes_of(values):
    return [{"key": key, "value": value_of(value)} for key, value in values.items()]


def span(attributes=None, *, number=1, duration_ns=1_250_000, exception=None, **changes):
    """A server span that began a minute ago."""
    start_ns = NOW_NS - 60_000_000_000
    fields = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "GET",
        "kind": 2,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + duration_ns),
        "attributes": attributes_of(STABLE if attributes is None else attributes),
        **changes,
    }
    if exception:
        event = {"name": "exception", "attributes": attributes_of({"exception.type": exception})}
        fields["events"] = [{"name": "log"}, event]
    return fields


def request(*spans, **resource):
    """A request with all spans under one resource; underscores in its names are dots."""
    attributes = attributes_of({name.replace("_", ".", 1): value for name, value in resource.items()})
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes},
                "scopeSpans": [{"scope": {"name": "http"}, "spans": list(spans)}],
            }
        ]
    }


def as_json(sent):
    return json.dumps(sent).encode()


def as_protobuf(sent):
    """The same request in protobuf, by OpenTelemetry's own classes."""
    sent = json.loads(json.dumps(sent))
    for resource_spans in sent["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for one_span in scope_spans["spans"]:
                for name in ("traceId", "spanId"):
                    one_span[name] = base64.b64encode(bytes.fromhex(one_span.get(name, ""))).decode()
    return ParseDict(sent, ExportTraceServiceRequest()).SerializeToString()
