"""A pytest plugin: the fixture ``apimetry`` holds the events of a test, as the exporter would send them.

    def test_scores_answer_fast(client, apimetry):
        client.get("/v1/scores/17")
        assert apimetry.assert_route("/v1/scores/{identity}").p95_us < 50_000

Nothing is sent while a test uses the fixture, and no key is needed. Tests without the fixture pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apimetry.middleware.testing import RecordedEvents


@pytest.fixture
def apimetry() -> Iterator[RecordedEvents]:
    """Return the events that the middlewares of this process record during the test."""
    from apimetry.middleware.testing import record_events  # noqa: PLC0415 - a suite without it pays nothing

    with record_events() as events:
        yield events
