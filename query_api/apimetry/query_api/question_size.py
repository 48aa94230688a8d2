"""The memory of a question, as tables count it that keep answers by question."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

QUESTION_BYTES: Final = 1_000
"""What a question takes beside its values and its answer."""

_BYTES_OF_CHARACTER: Final = 20


def question_bytes(question: Hashable) -> int:
    """Return what a question takes in memory at most, in bytes.

    A client chooses the values of its filters. The shortest ones cost the most: a letter beyond ASCII takes 88 bytes
    with its place in a tuple, and five characters in the text of the question.
    """
    return QUESTION_BYTES + _BYTES_OF_CHARACTER * len(repr(question))
