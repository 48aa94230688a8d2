"""Alert rules over HTTP."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from apimetry.query_api.alerting.evaluator import Evaluator
from apimetry.query_api.settings import QuerySettings, SmtpSettings
from apimetry.store.alerts.alerts import MAX_FILTER_CHARACTERS, Alerts
from apimetry.store.errors import PlanLimitExceeded
from tests.query_api.alerting.test_evaluator import Outbox, rule_of
from tests.query_api.alerting.test_webhooks import Receiver
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import assert_error, running_query_service

RULE = {"application": "shop", "name": "Errors", "metric": "error_rate", "threshold": 5}
NEVER = {"status": "resolved", "since": None, "lastValue": None, "lastMeasuredAt": None}


async def made(service, key="admin", **changes):
    response = await service.request("POST", "/api/alerts", key, json={**RULE, **changes})
    assert response.status == 201, await response.text()
    return await response.json()


async def test_a_rule_is_made_shown_changed_paused_and_deleted(service):
    filters = {"include": ["route:/a"], "has": ["url:CART"], "minResponseUs": 0, "maxResponseUs": 2**63 - 1}
    answer = await made(service, webhookUrl="https://hooks.example.com/x", **filters)
    rule, secret = answer["alert"], answer["secret"]
    assert secret.startswith("whsec_")
    assert rule == {
        **{name: rule[name] for name in ("id", "createdAt")},
        "application": "shop",
        "name": "Errors",
        "metric": "error_rate",
        "percentile": None,
        "threshold": 5.0,
        "direction": "above",
        **filters,
        "exclude": [],
        "windowS": 300,
        "minimumRequests": 0,
        "cooldownS": 300,
        "webhookUrl": "https://hooks.example.com/x",
        "channel": "webhook",
        "routingKey": None,
        "paused": False,
        "state": NEVER,
    }
    path = f"/api/alerts/{rule['id']}"
    assert await service.answer(path, "admin") == {"alert": rule}
    listed = await (await service.get("/api/alerts?application=shop", "admin")).text()
    assert rule["id"] in listed
    assert secret not in listed
    change = {"paused": True, "metric": "latency_percentile", "percentile": 99, "threshold": 250.5, "include": []}
    change |= {"minimumRequests": 7, "has": ["url:/b"], "minResponseUs": None, "maxResponseUs": 5}
    response = await service.request("PATCH", path, json=change)
    changed = {**rule, **change}
    assert await response.json() == {"alert": changed}
    response = await service.request("PATCH", path, json={"metric": "no_data"})
    # What has no meaning for the new metric goes with the old one.
    defaults = {"percentile": None, "threshold": None, "direction": None, "minimumRequests": 0}
    changed = {**changed, "metric": "no_data", **defaults}
    assert await response.json() == {"alert": changed}
    rotated = await (await service.request("POST", f"{path}/rotate")).json()
    assert rotated["alert"] == changed
    assert rotated["secret"] != secret
    assert (await service.request("DELETE", path)).status == 204
    await assert_error(await service.get(path, "admin"), 404, rule["id"])
    assert (await service.answer("/api/alerts", "admin"))["alerts"] == []


async def test_rules_come_in_pages_and_those_of_deleted_applications_do_not(embedded_service):
    for number in range(3):
        await made(embedded_service, name=f"Rule {number}")
    page = await embedded_service.answer("/api/alerts?limit=2&offset=1", "admin")
    assert [rule["name"] for rule in page["alerts"]] == ["Rule 1", "Rule 2"]
    assert page["pagination"] == {"total": 3, "limit": 2, "offset": 1, "hasMore": False}
    assert (await embedded_service.request("DELETE", "/api/applications/shop")).status == 204
    assert (await embedded_service.answer("/api/alerts", "admin"))["alerts"] == []


async def test_a_read_key_sees_the_rules_of_its_application_without_their_addresses(embedded_service):
    other = {"name": "Other", "id": "other"}
    assert (await embedded_service.request("POST", "/api/applications", json=other)).status == 201
    rule = (await made(embedded_service, webhookUrl="https://hooks.example.com/x"))["alert"]
    hidden = (await made(embedded_service, application="other"))["alert"]
    shown = {name: value for name, value in rule.items() if name != "webhookUrl"}
    assert (await embedded_service.answer("/api/alerts"))["alerts"] == [shown]
    assert await embedded_service.answer(f"/api/alerts/{rule['id']}") == {"alert": shown}
    assert (await embedded_service.answer(f"/api/alerts/{rule['id']}/events"))["events"] == []
    for path in (f"/api/alerts/{hidden['id']}", f"/api/alerts/{hidden['id']}/events"):
        await assert_error(await embedded_service.get(path), 404, hidden["id"])
        assert (await embedded_service.get(path, "admin")).status == 200
    for method, path in [("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")]:
        response = await embedded_service.request(method, f"/api/alerts/{rule['id']}{path}", "read", json={})
        await assert_error(response, 403, "Only Admin keys can manage alert rules")


BAD_RULES = [
    ({"application": "theirs"}, 404, "theirs"),
    ({"application": "nobody"}, 404, "nobody"),
    ({"name": ""}, 400, "name"),
    ({"metric": "sadness"}, 400, 'metric is "sadness"; allowed: error_rate, latency_mean'),
    ({"threshold": None}, 400, "threshold"),
    ({"has": ["method:G"]}, 400, "has is 'method:G'; allowed: field:text"),
    ({"minResponseUs": -1}, 400, "minResponseUs"),
    ({"minResponseUs": 2, "maxResponseUs": 1}, 400, "minResponseUs must not be above maxResponseUs"),
    ({"threshold": -1}, 400, "threshold is -1; allowed: a number >= 0"),
    ({"threshold": "5"}, 400, 'threshold is "5"; allowed: a number'),
    ({"threshold": 100.5}, 400, "of error_rate is percent, 100 at most, not 100.5"),
    ({"metric": "no_data"}, 400, "no_data"),
    ({"metric": "no_data", "threshold": None, "direction": "below"}, 400, "no_data"),
    ({"direction": "sideways"}, 400, "allowed: above, below"),
    ({"percentile": 99}, 400, "percentile"),
    ({"metric": "latency_percentile"}, 400, "percentile"),
    ({"metric": "latency_percentile", "percentile": 100}, 400, "percentile is 100; allowed: a whole number <= 99"),
    ({"metric": "request_count", "minimumRequests": 5}, 400, "minimumRequests"),
    ({"windowS": 90}, 400, "windowS"),
    ({"windowS": 0}, 400, "windowS"),
    ({"windowS": 86460}, 400, "windowS"),
    ({"cooldownS": 604801}, 400, "cooldownS"),
    ({"include": ["colour:red"]}, 400, "colour:red"),
    ({"exclude": ["status_code:x"]}, 400, "status_code"),
    ({"include": ["route:/"] * 51}, 400, "allowed: a list of length <= 50"),
    ({"webhookUrl": "ftp://example.com"}, 400, "webhookUrl"),
    ({"webhookUrl": "https://"}, 400, "webhookUrl"),
    ({"webhookUrl": "https://exa mple.com/"}, 400, "webhookUrl"),
    ({"webhookUrl": "https://[::1/"}, 400, "webhookUrl"),
    ({"webhookSecret": "x"}, 400, "webhookSecret"),
    ({"include": [5]}, 400, "a text, got a whole number"),
    ({"metric": "limit_utilization"}, 400, "metric is limit_utilization, and the application 'shop' has no limits"),
    ({"webhookUrl": "http://127.0.0.1:9/hook"}, 400, "webhookUrl is not allowed: the webhook's address is private"),
    ({"webhookUrl": "http://2130706433/"}, 400, "allow_private_webhooks"),
    ({"webhookUrl": "http://localhost:9/hook"}, 400, "webhookUrl is not allowed: the webhook's name has a private"),
    ({"webhookUrl": "http://169.254.169.254/", "channel": "slack"}, 400, "webhookUrl is not allowed"),
    ({"webhookUrl": "mailto:ops@example.com"}, 400, "this service has no mail server"),
    ({"webhookUrl": "mailto:ops"}, 400, "webhookUrl of the channel email"),
    ({"channel": "fax"}, 400, 'channel is "fax"; allowed: webhook, slack'),
    ({"channel": "slack", "webhookUrl": None}, 400, "webhookUrl is missing"),
    ({"channel": "pagerduty"}, 400, "routingKey"),
]


@pytest.mark.parametrize("member", ["application", "name", "metric"])
async def test_a_missing_member_is_named(embedded_service, member):
    body = {name: value for name, value in RULE.items() if name != member}
    response = await embedded_service.request("POST", "/api/alerts", json=body)
    await assert_error(response, 400, f"{member} is missing from the body")


async def test_what_a_rule_could_never_do_is_refused_and_what_it_can_is_not(embedded_store):
    smtp = SmtpSettings("mail.example.com", sender="alerts@example.com")
    settings = QuerySettings(evaluate_alerts=False, allow_private_webhooks=True, smtp=smtp)
    async with running_query_service(embedded_store, settings) as service:
        private = (await made(service, webhookUrl="http://127.0.0.1:9/hook", channel="teams"))["alert"]
        assert private["channel"] == "teams"
        mail = (await made(service, webhookUrl="mailto:ops@example.com"))["alert"]
        assert mail["channel"] == "email"
        assert (await made(service))["alert"]["channel"] is None
        limits = {"limits": {"requestsPerMinute": 60}}
        assert (await service.request("PATCH", "/api/applications/shop", json=limits)).status == 200
        await made(service, metric="limit_utilization", threshold=80)
        paged = (await made(service, channel="pagerduty", routingKey="R" * 32))["alert"]
        assert (paged["channel"], paged["routingKey"], paged["webhookUrl"]) == ("pagerduty", "***", None)
    rules = {rule.id: rule for rule in Alerts(embedded_store).rules()}
    assert rules[paged["id"]].routing_key == "R" * 32
    assert rules[private["id"]].webhook_url == "http://127.0.0.1:9/hook"


async def test_a_bad_rule_is_refused_by_the_member_that_is_wrong(embedded_service):
    good = (await made(embedded_service))["alert"]
    for changes, status, named in BAD_RULES:
        response = await embedded_service.request("POST", "/api/alerts", json={**RULE, **changes})
        await assert_error(response, status, named)
        if status == 400 and changes != {"metric": "no_data"}:
            response = await embedded_service.request("PATCH", f"/api/alerts/{good['id']}", json=changes)
            await assert_error(response, 400, named)
    await assert_error(
        await embedded_service.request("PATCH", f"/api/alerts/{good['id']}", json={}), 400, "webhookUrl"
    )
    assert (await embedded_service.answer("/api/alerts", "admin"))["alerts"] == [good]


async def test_a_rule_with_a_private_address_from_before_can_still_be_paused(embedded_service):
    made_before = rule_of(embedded_service.organization_id, webhook_url="http://127.0.0.1:9/hook")
    Alerts(embedded_service.accounts.store).create(made_before)
    path = f"/api/alerts/{made_before.id}"
    assert (await embedded_service.request("PATCH", path, json={"paused": True})).status == 200
    response = await embedded_service.request("PATCH", path, json={"webhookUrl": "http://127.0.0.1:9/other"})
    await assert_error(response, 400, "webhookUrl is not allowed")


async def test_another_organizations_rule_is_a_404(embedded_service):
    foreign = (await made(embedded_service, "their admin", application="theirs"))["alert"]
    path = f"/api/alerts/{foreign['id']}"
    for method, url in [
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("POST", f"{path}/rotate"),
        ("GET", f"{path}/events"),
    ]:
        await assert_error(await embedded_service.request(method, url, json={"paused": True}), 404, foreign["id"])
    assert (await embedded_service.answer("/api/alerts", "admin"))["alerts"] == []
    assert await embedded_service.answer(path, "their admin") == {"alert": foreign}


async def test_what_a_rule_did_shows_in_its_state_its_events_and_the_overview(service):
    rule = (await made(service, webhookUrl="https://hooks.example.com/"))["alert"]
    now = 1_700_000_040
    insert_events(service.accounts.store, [Event(timestamp=(now - 30) * 1_000_000, status_code=500)])
    alerts, outbox = Alerts(service.accounts.store), Outbox()
    evaluator = Evaluator(alerts, service.directory, outbox, ask=alerts.store.ask, owner="x")
    await evaluator.evaluate(now)
    await evaluator.finish_deliveries()
    await evaluator.evaluate(now + 300)
    stamp = "2023-11-14T22:14:00Z"
    state = (await service.answer(f"/api/alerts/{rule['id']}", "admin"))["alert"]["state"]
    assert state == {
        "status": "firing",
        "since": stamp,
        "lastValue": None,
        "lastMeasuredAt": "2023-11-14T22:19:00Z",
    }
    events = await service.answer(f"/api/alerts/{rule['id']}/events", "admin")
    ((event,), pagination) = events["events"], events["pagination"]
    assert event == {
        "id": outbox.events[0].id,
        "kind": "firing",
        "at": stamp,
        "firedAt": stamp,
        "value": 100.0,
        "threshold": 5.0,
        "delivery": "delivered",
    }
    assert pagination["total"] == 1
    overview = (await service.answer("/api/analytics/overview", "admin"))["overview"]
    assert overview["totals"]["alertRules"] == 1
    assert overview["recentActivity"]["lastAlertTriggered"] == stamp
    assert overview["recentActivity"]["alertsTriggeredLast24h"] == 0


def just_before_an_evaluation(minute_s):
    """A clock that starts, when it is first read, a moment before the rules are evaluated up to `minute_s`."""
    started = []

    def clock():
        started.append(time.monotonic())
        return minute_s + 9.9 + started[-1] - started[0]

    return clock


def test_the_filters_of_an_organization_s_rules_have_a_limit_together(embedded_service):
    alerts = Alerts(embedded_service.accounts.store)
    filters = tuple(f"route:{number}".ljust(2000, "x") for number in range(50))
    for number in range(MAX_FILTER_CHARACTERS // 100_000 - 1):
        alerts.create(rule_of("anyone", id=f"{number}", include=filters))
    last = alerts.create(rule_of("anyone", id="last", include=filters[:-1]))
    with pytest.raises(PlanLimitExceeded, match="1000000 characters together"):
        alerts.create(rule_of("anyone", id="more", include=filters))
    with pytest.raises(PlanLimitExceeded, match="1000000 characters together"):
        alerts.update(last.id, {"exclude": filters[:2]})
    alerts.update(last.id, {"include": filters})
    alerts.create(rule_of("anyone", id="without filters"))
    alerts.create(rule_of("another", id="of another", include=filters))


async def test_the_service_evaluates_its_rules_and_tells_the_webhook_by_itself(embedded_store):
    minute_s = 1_700_000_040
    insert_events(embedded_store, [Event(timestamp=(minute_s - 30) * 1_000_000, status_code=500)])
    settings = QuerySettings(allow_private_webhooks=True)
    async with Receiver(200) as receiver:
        rule = rule_of("anyone", window_s=60, webhook_url=str(receiver.url()))
        Alerts(embedded_store).create(rule)
        async with running_query_service(embedded_store, settings, clock=just_before_an_evaluation(minute_s)):
            await asyncio.wait_for(receiver.arrived.wait(), 60)
    assert json.loads(receiver.got[0][2])["data"]["rule"]["id"] == rule.id
