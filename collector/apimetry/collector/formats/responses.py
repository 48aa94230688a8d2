"""The response to a batch in the JSON and MessagePack formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from aiohttp import web
from msgspec import Meta

from apimetry.collector.formats.batch import MAX_DETAILS
from apimetry.collector.outcome import Outcome
from apimetry.serving.answer_types import Count
from apimetry.serving.errors import BadRequest, Detail
from apimetry.serving.service import json_response


class _Counts(TypedDict):
    accepted: Count
    rejected: Count


class Accepted(_Counts, total=False):
    """What became of a batch."""

    duplicate: Annotated[bool, Meta(description="Always true. The batch was stored before.")]
    details: Annotated[Sequence[Detail], Meta(max_length=MAX_DETAILS)]


def respond_in_json(outcome: Outcome) -> web.Response:
    """Return a 200 with the counts, and with details of rejected events.

    Raises:
        BadRequest: no event of the batch was valid.
    """
    if outcome.rejected and not outcome.accepted:
        raise BadRequest(f"None of the {outcome.rejected} events is valid", details=outcome.details)
    body: Accepted = {"accepted": outcome.accepted, "rejected": outcome.rejected}
    if outcome.is_duplicate:
        body["duplicate"] = True
    if outcome.details:
        body["details"] = outcome.details
    return json_response(body)
