"""Alert rules in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.alerting.response import AlertHistory, AlertPreview, AlertTest
from apimetry.query_api.alerting.rule_bodies import AlertChange, AlertInput, AlertPreviewInput
from apimetry.query_api.alerting.rule_response import (
    MAX_FILTER_CHARACTERS,
    AlertEventList,
    AlertRuleList,
    NewAlertRule,
    OneAlertRule,
)
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.openapi.filters import FILTER_PATTERN
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref, struct_schema
from apimetry.store.alerts.records import MAX_COOLDOWN_S, MAX_WINDOW_S

_TAGS = ["Alerts"]
_RULE = {
    "id": "507f1f77bcf86cd799439012",
    "application": "shop",
    "name": "Checkout fails",
    "metric": "error_rate",
    "percentile": None,
    "threshold": 5.0,
    "direction": "above",
    "include": ["route:/v1/checkout"],
    "exclude": ["status_code:404"],
    "has": [],
    "minResponseUs": None,
    "maxResponseUs": None,
    "windowS": 300,
    "minimumRequests": 20,
    "cooldownS": 300,
    "webhookUrl": "https://hooks.example.com/apimetry",
    "channel": "webhook",
    "routingKey": None,
    "paused": False,
    "createdAt": "2026-01-20T14:00:00Z",
    "state": {
        "status": "firing",
        "since": "2026-01-20T15:04:00Z",
        "lastValue": 12.5,
        "lastMeasuredAt": "2026-01-20T15:06:00Z",
    },
}
_INPUT = {
    name: _RULE[name]
    for name in ("application", "name", "metric", "threshold", "include", "exclude", "minimumRequests", "webhookUrl")
}
_EVENT = {
    "id": "9b2f1f77bcf86cd799439013",
    "kind": "firing",
    "at": "2026-01-20T15:04:00Z",
    "firedAt": "2026-01-20T15:04:00Z",
    "value": 12.5,
    "threshold": 5.0,
    "delivery": "delivered",
}
_LOGGED = {
    **{name: _EVENT[name] for name in ("id", "kind", "at", "value", "threshold", "delivery")},
    "alert": _RULE["id"],
    "name": _RULE["name"],
}
_NEW = {"alert": _RULE, "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
_PAGE = {"total": 1, "limit": 100, "offset": 0, "hasMore": False}
_READ_ERRORS = ("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
_WRITE_ERRORS = (*_READ_ERRORS, "PayloadTooLarge", "UnsupportedMediaType")
_PAGING = (ref("parameters", "Limit"), ref("parameters", "Offset"))
_DESCRIPTION = """Every minute each rule measures the time of its `windowS` before it: the `error_rate` in percent
(status 400 and above), the `latency_mean` or a `latency_percentile` in milliseconds, the `request_count`, the
`limit_utilization` (the highest of the application's limits, in percent), or whether there is `no_data`. It fires
when the value is above (or below) the threshold, once until it resolves, and not again within `cooldownS` of its last
firing; it resolves when that does not hold any more. A rate or a latency of fewer requests than `minimumRequests`, or
of none, changes nothing. `no_data` takes neither threshold nor direction.

Each firing and resolving is told in the form of the rule's `channel`: `slack`, `teams` and `discord` get a message
of theirs at `webhookUrl`; `pagerduty` gets an event that opens or resolves one incident, by `routingKey`; `email`
goes to the addresses of `mailto:ops@example.com,dev@example.com`. Without a `channel` the address tells it
(hooks.slack.com, discord.com, webhook.office.com, logic.azure.com, events.pagerduty.com, `mailto:`). Any other
address gets a POST of our own JSON, in the form of the Standard Webhooks specification: verify `webhook-signature`
with the secret that is shown once, and drop a `webhook-id` that came before. 5xx, 408, 429 and broken connections are
tried again for an hour."""


def paths() -> Json:
    """Return the paths of alert rules."""
    rule_id = ref("parameters", "AlertId")
    return {
        "/api/alerts": _rules(),
        "/api/alerts/{id}": _rule(),
        "/api/alerts/{id}/rotate": {
            "parameters": [rule_id],
            "post": _operation(
                "rotateAlertSecret",
                "Replace the secret of an alert rule's webhook",
                {"201": answer("The rule, and its new secret.", json_content(NewAlertRule, example=_NEW))},
                _READ_ERRORS,
            ),
        },
        "/api/alerts/{id}/test": {"parameters": [rule_id], "post": _test()},
        "/api/alerts/{id}/events": {
            "parameters": [rule_id],
            "get": _operation(
                "listAlertEvents",
                "What an alert rule did",
                {
                    "200": answer(
                        "One page of its last thousand events, the last first.",
                        json_content(AlertEventList, example={"events": [_EVENT], "pagination": _PAGE}),
                    )
                },
                _READ_ERRORS,
                parameters=list(_PAGING),
            ),
        },
        "/api/alerts/preview": {"post": _preview()},
        "/v1/alert-events": {"get": _history()},
    }


def _test() -> Json:
    return _operation(
        "testAlert",
        "Send a test message of an alert rule",
        {
            "200": answer(
                "Whether it arrived.", json_content(AlertTest, example={"delivered": True, "status": 200, "ms": 83})
            )
        },
        (*_READ_ERRORS, "TooManyRequests"),
        description="The message goes where the rule's messages go, once, and says that it is a test: in our own JSON"
        " its `type` is `alert.test` and its `kind` is `test`. PagerDuty gets an incident of the severity `info`,"
        " which is resolved at once. A rule is tested once in 10 s.",
    )


def _preview() -> Json:
    example = {
        "points": [[1795605300, 0.4], [1795605600, 31.2], [1795605900, None]],
        "threshold": 5.0,
        "firings": [{"at": "2026-11-25T11:20:00Z", "until": None, "peak": 31.2}],
        "evaluated": 3,
    }
    return _operation(
        "previewAlert",
        "What an alert rule would have done",
        {"200": answer("Its values, and when it would have fired.", json_content(AlertPreview, example=example))},
        _WRITE_ERRORS,
        description="A rule as it would be made, tried on the last `days` until now: every minute of one day, every"
        " five minutes of several. It is refused as it would be when it is made. Percentiles are estimates within 2"
        " %. More than 20,000 points are a 400. Read and admin keys.",
        requestBody={"required": True, "content": json_content("AlertPreviewInput", example={**_INPUT, "days": 7})},
    )


def _history() -> Json:
    second: Json = {"type": "integer", "minimum": 0, "maximum": MAX_TIME_S}
    example = {"events": [_LOGGED], "next": None}
    return _operation(
        "getAlertHistory",
        "What all alert rules of an application did",
        {"200": answer("One page, the last event first.", json_content(AlertHistory, example=example))},
        _READ_ERRORS,
        description="The events in `[start, end)`: by default all until now. Read and admin keys.",
        parameters=[
            query_parameter("start", "First second, Unix time, UTC. By default all time.", second, 1795605300),
            query_parameter(
                "end", "The second after the last one, Unix time, UTC. By default now.", second, 1795691700
            ),
            ref("parameters", "Limit"),
            query_parameter("cursor", "`next` of the page before.", {"type": "string"}, "MTc5NTY5MTcwMDo5YjJm"),
            ref("parameters", "Application"),
        ],
    )


def _rules() -> Json:
    listed = json_content(AlertRuleList, example={"alerts": [_RULE], "pagination": _PAGE})
    return {
        "get": _operation(
            "listAlerts",
            "Alert rules of the organization",
            {"200": answer("One page of them, the oldest first, each with where it stands.", listed)},
            _READ_ERRORS,
            parameters=[*_PAGING, ref("parameters", "Application")],
        ),
        "post": _operation(
            "createAlert",
            "Make an alert rule",
            {
                "201": answer(
                    "Made. The webhook's secret is shown this once.", json_content(NewAlertRule, example=_NEW)
                )
            },
            _WRITE_ERRORS,
            description=_DESCRIPTION,
            requestBody={"required": True, "content": json_content("AlertRuleInput", example=_INPUT)},
        ),
    }


def _rule() -> Json:
    content = json_content(OneAlertRule, example={"alert": _RULE})
    return {
        "parameters": [ref("parameters", "AlertId")],
        "get": _operation("getAlert", "One alert rule", {"200": answer("It.", content)}, _READ_ERRORS),
        "patch": _operation(
            "changeAlert",
            "Change, pause or resume an alert rule",
            {"200": answer("As it is now.", content)},
            _WRITE_ERRORS,
            description="What the body leaves out stays, unless it has no meaning for a changed metric."
            " A paused rule is not evaluated and stays where it stands.",
            requestBody={"required": True, "content": json_content("AlertRuleChange", example={"paused": True})},
        ),
        "delete": _operation("deleteAlert", "Delete an alert rule", {"204": answer("Deleted.")}, _READ_ERRORS),
    }


def _operation(name: str, summary: str, responses: Json, failures: tuple[str, ...], **more: object) -> Json:
    return operation(name, summary, {**responses, **errors(*failures)}, tags=_TAGS, **more)


def schemas() -> Json:
    """Return the schemas of requests."""
    texts: Json = {"type": "string", "maxLength": MAX_FILTER_CHARACTERS, "pattern": FILTER_PATTERN}
    filters: Json = {"items": {**texts, "description": "field:value, as in a timeseries."}}
    prose: dict[str, Json] = {
        "include": filters,
        "exclude": filters,
        "windowS": {"minimum": 60, "maximum": MAX_WINDOW_S, "multipleOf": 60},
        "cooldownS": {"maximum": MAX_COOLDOWN_S},
    }
    return {
        "AlertRuleInput": struct_schema(AlertInput, prose),
        "AlertPreviewInput": struct_schema(AlertPreviewInput, prose),
        "AlertRuleChange": {**struct_schema(AlertChange, prose), "minProperties": 1},
    }
