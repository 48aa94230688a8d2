"""The parameters `compare`, `completeness` and `tz` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import FLAGS
from apimetry.query_api.planning.period import COMPARISONS
from apimetry.serving.openapi import query_parameter


def comparison_parameters(note: str = "") -> list[Json]:
    """Return the description of both parameters; `note` ends that of `compare`."""
    return [
        query_parameter(
            "completeness",
            "1: the answer says which share of what senders captured is stored.",
            {"type": "string", "enum": list(FLAGS), "default": FLAGS[0]},
            "1",
        ),
        compare_parameter(note),
    ]


def compare_parameter(note: str = "") -> Json:
    """Return the description of `compare` alone; `note` ends it."""
    return query_parameter(
        "compare",
        "The answer also has an earlier period of the same length: `previous` ends where the asked one begins,"
        " `week` is seven days earlier (for up to seven days), and a time is where it begins."
        f"{note}",
        {
            "oneOf": [
                {"type": "string", "enum": list(COMPARISONS)},
                {"type": "integer", "minimum": 0},
            ]
        },
        "previous",
    )


def zone_parameter() -> Json:
    """Return the description of `tz`."""
    return query_parameter(
        "tz",
        "The time zone, by its name, in which days, weeks and months begin; else UTC. Hours and less begin on UTC's"
        " hours in every zone. All times in the answer stay in UTC.",
        {"type": "string"},
        "Europe/Berlin",
    )
