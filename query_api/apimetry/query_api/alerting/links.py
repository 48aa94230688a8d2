"""The link of an alert event to the page. Pure.

The page reads its view from its address: `app` is the application, `start` and `end` are seconds since the epoch, and
every `is` and `not` is a filter, `field:value`.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from apimetry.store.alerts.records import AlertEvent, AlertRule

BEFORE_S = 1800
"""How long before a firing the linked view begins; it is longer where the rule's window is."""


def link_of(public_url: str | None, rule: AlertRule, event: AlertEvent) -> str | None:
    """Return the address of the page with the rule's filters around an event; None where the page's is not known."""
    if public_url is None:
        return None
    view = [
        ("app", rule.application_id),
        ("start", str(int(event.fired_at.timestamp()) - max(BEFORE_S, rule.window_s))),
        ("end", str(int(event.at.timestamp()))),
        *(("is", text) for text in rule.include),
        *(("not", text) for text in rule.exclude),
    ]
    return f"{public_url}/?{urlencode(view, quote_via=quote)}"
