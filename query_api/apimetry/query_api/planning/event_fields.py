"""The fields of an event in an answer: the only place that chooses which of its columns leave the service. Pure.

FIELDS is the closed set of the field names that may reach SQL as columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from apimetry.query_api.http.query_string import refusal

FIELDS = (
    "timestamp",
    "consumer_id",
    "method",
    "url",
    "function",
    "response_us",
    "status_code",
    "route",
    "ttfb_us",
    "request_bytes",
    "response_bytes",
    "error_type",
    "source",
    "version",
    "client_ip",
    "user_agent",
    "sample_weight",
    "data",
)
"""All fields, in the order of the collector's JSON format."""

NULLABLE_NUMBERS = frozenset({"response_us", "ttfb_us", "request_bytes", "response_bytes"})


def parse_fields(texts: Sequence[str], default: tuple[str, ...] = FIELDS) -> tuple[str, ...]:
    """Return the distinct fields that the parameter `fields` names, in its order; `default` where it names none.

    Raises:
        BadRequest: names the field and what is allowed.
    """
    names = tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
    for name in names:
        if name not in FIELDS:
            raise refusal("fields", name, f"names separated by commas, of {', '.join(FIELDS)}")
    return names or default
