"""The JSON that each chat and paging service takes, as its documentation says. Pure.

- Slack, incoming webhooks: `text` (what a notification shows) and `blocks`; `&`, `<` and `>` are control characters
  everywhere and are escaped. A header has 150 characters, a field 2,000.
- Teams, incoming webhooks and workflows: a message with one Adaptive Card; a TextBlock and a FactSet read Markdown.
- Discord, webhooks: one embed with a title of 256 characters and fields of 1,024; nobody is mentioned.
- PagerDuty, Events API v2: `trigger` and `resolve` under one `dedup_key` for each rule; a summary has 1,024
  characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from apimetry.query_api.alerting.notices import TEST, Notice
from apimetry.query_api.http.json_values import Json, iso_datetime
from apimetry.store.alerts.channels import Channel
from apimetry.store.alerts.records import Transition

FIRING, RESOLVED = Transition.firing.value, Transition.resolved.value

_SLACK_HEADER = 150
_DISCORD_TITLE = 256
_DISCORD_FIELD = 1024
_PAGERDUTY_SUMMARY = 1024
_RED, _GREEN = 0xD13438, 0x107C10
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#~|])")


def slack(notice: Notice) -> Json:
    """Return the body of a message to Slack."""
    header = _cut(notice.title, _SLACK_HEADER, _slack_text)
    return {
        "text": _slack_text(f"{notice.title}. {notice.text}"),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": False}},
            {"type": "section", "text": {"type": "plain_text", "text": _slack_text(notice.text), "emoji": False}},
            {
                "type": "section",
                "fields": [
                    {"type": "plain_text", "text": _slack_text(f"{name}: {value}"), "emoji": False}
                    for name, value in notice.facts
                ],
            },
        ],
    }


def teams(notice: Notice) -> Json:
    """Return the body of a message to Teams."""
    title: Json = {
        "type": "TextBlock",
        "text": _markdown_text(notice.title),
        "size": "Medium",
        "weight": "Bolder",
        "color": "Attention" if notice.kind == FIRING else "Good",
        "wrap": True,
    }
    facts = [{"title": name, "value": _markdown_text(value)} for name, value in notice.facts]
    card: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            title,
            {"type": "TextBlock", "text": _markdown_text(notice.text), "wrap": True},
            {"type": "FactSet", "facts": facts},
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def discord(notice: Notice) -> Json:
    """Return the body of a message to Discord."""
    return {
        "embeds": [
            {
                "title": _cut(notice.title, _DISCORD_TITLE, _markdown_text),
                "description": _markdown_text(notice.text),
                "color": _RED if notice.kind == FIRING else _GREEN,
                "timestamp": iso_datetime(notice.at),
                "fields": [
                    {"name": name, "value": _cut(value, _DISCORD_FIELD, _markdown_text), "inline": True}
                    for name, value in notice.facts
                ],
            }
        ],
        "allowed_mentions": {"parse": []},
    }


def pagerduty(notice: Notice, routing_key: str) -> Json:
    """Return the body of an event of PagerDuty; a rule's firings and resolutions are about one incident.

    A test opens an incident of its own, which `pagerduty_end` resolves.
    """
    if notice.kind == RESOLVED:
        return pagerduty_end(notice, routing_key)
    return {
        **_incident(notice, routing_key),
        "event_action": "trigger",
        "client": "apimetry",
        "payload": {
            "summary": _cut(f"{notice.title}. {notice.text}", _PAGERDUTY_SUMMARY),
            "source": notice.application,
            "severity": "info" if notice.kind == TEST else "error",
            "timestamp": iso_datetime(notice.at),
            "component": notice.application,
            "class": "apimetry alert",
            "custom_details": dict(notice.facts),
        },
    }


def pagerduty_end(notice: Notice, routing_key: str) -> Json:
    """Return the body of the event that resolves a notice's incident."""
    return {**_incident(notice, routing_key), "event_action": "resolve"}


def _incident(notice: Notice, routing_key: str) -> Json:
    suffix = "/test" if notice.kind == TEST else ""
    return {"routing_key": routing_key, "dedup_key": f"apimetry/{notice.rule_id}{suffix}"}


CHAT: Mapping[Channel, Callable[[Notice], Json]] = {
    Channel.slack: slack,
    Channel.teams: teams,
    Channel.discord: discord,
}


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown_text(text: str) -> str:
    """Return a text that Markdown shows as it is: no link, no mention, no emphasis, no code."""
    return _MARKDOWN.sub(r"\\\1", text)


def _cut(text: str, most: int, escaped: Callable[[str], str] = str) -> str:
    """Return `text`, escaped, of `most` characters at most; never half an escape."""
    escaped_text = escaped(text)
    if len(escaped_text) <= most:
        return escaped_text
    prefix = text
    while len(escaped(prefix)) > most - 1:
        prefix = prefix[:-1]
    return f"{escaped(prefix)}…"
