"""Stand-ins for chat and paging services: each takes what its documentation allows, and nothing else."""

from __future__ import annotations

import json
import re

from aiohttp import web
from aiohttp.test_utils import TestServer

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def only(value, /, **kinds):
    """Check an object's members: exactly `kinds` (a name that ends in `_` may be missing)."""
    assert isinstance(value, dict), value
    needed = {name for name in kinds if not name.endswith("_")}
    assert needed <= set(value) <= {name.rstrip("_") for name in kinds}, sorted(value)
    for name, kind in kinds.items():
        if name.rstrip("_") in value:
            assert isinstance(value[name.rstrip("_")], kind), (name, value)


def text_of(value, most):
    assert isinstance(value, str)
    assert 1 <= len(value) <= most, (len(value), value)
    return value


def slack_plain(value, most):
    only(value, type=str, text=str, emoji_=bool)
    assert value["type"] == "plain_text"
    slack_escaped(text_of(value["text"], most))


def slack_escaped(text):
    assert not re.search(r"[<>]|&(?!(?:amp|lt|gt);)", text), text


def slack(body):
    only(body, text=str, blocks_=list)
    slack_escaped(text_of(body["text"], 40_000))
    assert 1 <= len(body["blocks"]) <= 50
    for block in body["blocks"]:
        if block["type"] == "header":
            only(block, type=str, text=dict)
            slack_plain(block["text"], 150)
            continue
        assert block["type"] == "section"
        only(block, type=str, text_=dict, fields_=list)
        assert "text" in block or "fields" in block
        if "text" in block:
            slack_plain(block["text"], 3000)
        assert len(block.get("fields", [])) <= 10
        for field in block.get("fields", []):
            slack_plain(field, 2000)


def teams(body):
    only(body, type=str, attachments=list)
    assert body["type"] == "message"
    (attachment,) = body["attachments"]
    only(attachment, contentType=str, contentUrl_=type(None), content=dict)
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert card["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
    assert re.fullmatch(r"1\.[0-5]", card["version"])
    assert set(card) == {"$schema", "type", "version", "body"}
    for element in card["body"]:
        if element["type"] == "FactSet":
            only(element, type=str, facts=list)
            for fact in element["facts"]:
                only(fact, title=str, value=str)
            continue
        assert element["type"] == "TextBlock"
        only(element, type=str, text=str, size_=str, weight_=str, color_=str, wrap_=bool)
        assert element.get("color", "Default") in (
            "Default",
            "Dark",
            "Light",
            "Accent",
            "Good",
            "Warning",
            "Attention",
        )
        assert not re.search(r"(?<!\\)[*_`\[<]", element["text"]), element["text"]


def discord(body):
    only(body, content_=str, embeds_=list, allowed_mentions_=dict)
    assert body["allowed_mentions"] == {"parse": []}
    (embed,) = body["embeds"]
    only(embed, title=str, description=str, color=int, timestamp=str, fields=list)
    text_of(embed["title"], 256)
    text_of(embed["description"], 4096)
    assert 0 <= embed["color"] <= 0xFFFFFF
    assert ISO.fullmatch(embed["timestamp"])
    assert len(embed["fields"]) <= 25
    for field in embed["fields"]:
        only(field, name=str, value=str, inline_=bool)
        text_of(field["name"], 256)
        text_of(field["value"], 1024)
    assert not re.search(r"(?<!\\)[*_`\[<]", embed["title"]), embed["title"]
    total = len(embed["title"] + embed["description"]) + sum(len(f["name"] + f["value"]) for f in embed["fields"])
    assert total <= 6000


def pagerduty(body):
    assert re.fullmatch(r"[A-Za-z0-9]{32}", body["routing_key"])
    assert body["event_action"] in ("trigger", "acknowledge", "resolve")
    text_of(body["dedup_key"], 255)
    if body["event_action"] != "trigger":
        only(body, routing_key=str, event_action=str, dedup_key=str)
        return
    only(body, routing_key=str, event_action=str, dedup_key=str, client_=str, client_url_=str, payload=dict)
    payload = body["payload"]
    only(
        payload, summary=str, source=str, severity=str,
        timestamp_=str, component_=str, group_=str, custom_details_=dict, class_=str,
    )  # fmt: skip
    text_of(payload["summary"], 1024)
    text_of(payload["source"], 1024)
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert ISO.fullmatch(payload["timestamp"])


# The check of a body, and the status of an answer to a good one.
SERVICES = {"slack": (slack, 200), "teams": (teams, 202), "discord": (discord, 204), "pagerduty": (pagerduty, 202)}


class StrictReceiver:
    """One service at `url`; `bodies` are the good ones that came, `complaints` what was wrong with the others."""

    def __init__(self, service):
        self.check, self.status = SERVICES[service]
        self.bodies = []
        self.complaints = []

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/{rest:.*}", self.answer)
        self.server = TestServer(app)
        await self.server.start_server()
        self.url = str(self.server.make_url("/services/T0/B0/secret"))
        return self

    async def __aexit__(self, *_):
        await self.server.close()

    async def answer(self, request):
        try:
            assert request.content_type == "application/json"
            body = json.loads(await request.read())
            self.check(body)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            self.complaints.append(error)
            return web.Response(status=400, text="invalid_payload")
        self.bodies.append(body)
        return web.Response(status=self.status)
