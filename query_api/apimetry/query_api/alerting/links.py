"""The link of an alert event to the page. Pure.

The page reads its view from its address: `app` is the application, `start` and `end` are seconds since the epoch, and
every `is` and `not` is a filter, `field:value`, and every `has` is `field:text`. `slow` is the bounds of the response
time in milliseconds.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from apimetry.store.alerts.records import AlertEvent, AlertRule

MAX_SLOW_MS = 999_999_999
"""The largest bound that the page reads."""

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
        *(("has", text) for text in rule.has),
        *_slowness(rule),
    ]
    return f"{public_url}/?{urlencode(view, quote_via=quote)}"


def _slowness(rule: AlertRule) -> list[tuple[str, str]]:
    """Return the bounds as the page has them; parts of a millisecond make them wider."""
    least_ms = None if rule.min_response_us is None else rule.min_response_us // 1000
    most_ms = None if rule.max_response_us is None else -(-rule.max_response_us // 1000)
    if most_ms is not None and most_ms == least_ms:
        most_ms += 1
    bounds = ["" if ms is None or ms > MAX_SLOW_MS else str(ms) for ms in (least_ms, most_ms)]
    return [("slow", "..".join(bounds))] if any(bounds) else []
