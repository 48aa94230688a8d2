"""Hours in which versions served, joined to runs."""

from __future__ import annotations

import pytest

from apimetry.query_api.versions.runs import Hour, runs_of


def hours_of(**served):
    """Hours by version, sorted as the store returns them; one request in each."""
    return [
        Hour(version, hour, 1, 0, ["web"], hour * 3_600_000_000, hour * 3_600_000_000, 0)
        for version, hours in sorted(served.items())
        for hour in hours
    ]


def runs(**served):
    return [(run.version, run.begun[1], run.requests, run.is_return) for run in runs_of(hours_of(**served))]


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ({"a": [1, 2, 3]}, [("a", 1, 3, False)]),
        ({"a": [1, 2], "b": [3, 4]}, [("a", 1, 2, False), ("b", 3, 2, False)]),
        # A pause in which nobody served is the night.
        ({"a": [1, 9]}, [("a", 1, 2, False)]),
        ({"a": [1, 5], "b": [1, 5]}, [("a", 1, 2, False), ("b", 1, 2, False)]),
        # A rollback.
        ({"a": [1, 2, 5], "b": [2, 3, 4, 5]}, [("a", 1, 2, False), ("a", 5, 1, True), ("b", 2, 4, False)]),
        # Both serve in neighbouring hours: no whole hour lies between.
        ({"a": [1, 2, 3], "b": [2]}, [("a", 1, 3, False), ("b", 2, 1, False)]),
        (
            {"a": [1, 4, 8], "b": [2, 6]},
            [("a", 1, 1, False), ("a", 4, 1, True), ("a", 8, 1, True), ("b", 2, 1, False), ("b", 6, 1, True)],
        ),
    ],
)
def test_a_run_ends_with_a_pause_in_which_others_served(served, expected):
    assert runs(**served) == expected


def test_no_hours_are_no_runs():
    assert runs_of([]) == []
