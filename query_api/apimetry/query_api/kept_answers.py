"""Keep answers for some seconds, for questions that pages ask again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, NamedTuple

from apimetry.query_api.question_size import question_bytes

MAX_KEPT_BYTES: Final = 4 * 1024**2
"""Bytes of all answers that are kept for one kind of question."""


class _Kept(NamedTuple):
    since_s: float
    body: bytes
    size: int


class KeptAnswers:
    """The answers of the last `kept_s` seconds; used on the event loop alone. The oldest make room for new ones."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0

    def of(self, question: Hashable, now_s: float) -> bytes | None:
        """Return the answer to an equal question that still holds at `now_s`."""
        answer = self._kept.get(question)
        return answer.body if answer is not None and 0 <= now_s - answer.since_s < self._kept_s else None

    def keep(self, question: Hashable, body: bytes, now_s: float) -> None:
        """Keep the answer to a question that was asked at `now_s`."""
        self._forget(question)
        size = question_bytes(question) + len(body)
        if size > MAX_KEPT_BYTES:
            return
        self._kept[question] = _Kept(now_s, body, size)
        self._bytes += size
        while self._bytes > MAX_KEPT_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, question: Hashable) -> None:
        answer = self._kept.pop(question, None)
        self._bytes -= answer.size if answer else 0
