"""Keep for some seconds what every page asks for and what changes slowly: what is recorded, and the collectors."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Final

from msgspec.json import decode, encode

from apimetry.query_api.kept_answers import KeptAnswers
from apimetry.query_api.quality.collecting import collecting
from apimetry.query_api.quality.params import QualityQuery
from apimetry.query_api.quality.recorded import recorded
from apimetry.query_api.quality.response import QualityCollectors, QualityRecorded
from apimetry.store.statement import Ask

KEPT_S: Final = 10
"""Seconds for which a part of an answer is kept, as `GET /v1/me` keeps its figures."""


class KeptParts:
    """Parts of answers as they were read in the last KEPT_S seconds; any thread may use them."""

    def __init__(self) -> None:
        self._kept = KeptAnswers(KEPT_S)
        self._lock = threading.Lock()

    def recorded(self, query: QualityQuery, application: str, *, ask: Ask, now: int) -> QualityRecorded:
        """Return what events of the range have at `now`, seconds since the epoch. Blocks while `ask` does."""
        question = (application, query.start, query.end)
        body = self._of(question, now)
        if body is not None:
            return decode(body, type=QualityRecorded)
        answer = recorded(query, application, ask=ask)
        # A page waits for the first event.
        if answer["events"]:
            self._keep(question, encode(answer), now)
        return answer

    def collecting(self, *, ask: Ask, now: int) -> QualityCollectors:
        """Return how the collectors are at `now`, seconds since the epoch. Blocks while `ask` does."""
        body = self._of("collectors", now)
        if body is not None:
            return decode(body, type=QualityCollectors)
        answer = collecting(ask=ask)
        self._keep("collectors", encode(answer), now)
        return answer

    def _of(self, question: Hashable, now: int) -> bytes | None:
        with self._lock:
            return self._kept.of(question, now)

    def _keep(self, question: Hashable, body: bytes, now: int) -> None:
        with self._lock:
            self._kept.keep(question, body, now)
