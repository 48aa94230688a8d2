"""The response to a batch in the JSON and MessagePack formats."""

from __future__ import annotations

from aiohttp import web

from apimetry.collector.outcome import Outcome
from apimetry.serving.errors import BadRequest
from apimetry.serving.service import json_response


def respond_in_json(outcome: Outcome) -> web.Response:
    """Return a 200 with the counts, and with details of rejected events.

    Raises:
        BadRequest: no event of the batch was valid.
    """
    if outcome.rejected and not outcome.accepted:
        raise BadRequest(f"None of the {outcome.rejected} events is valid", details=outcome.details)
    body: dict[str, object] = {"accepted": outcome.accepted, "rejected": outcome.rejected}
    if outcome.is_duplicate:
        body["duplicate"] = True
    if outcome.details:
        body["details"] = outcome.details
    return json_response(body)
