"""The shape of the answer of `GET /v1/summary`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.planning.completeness import Completeness
from apimetry.serving.answer_types import Count

_FromZero = Annotated[float, Meta(ge=0)]
_Ms = Annotated[_FromZero | None, Meta(description="Milliseconds, one decimal. Null: no request has a known time.")]
_Share = Annotated[float, Meta(ge=0, le=1)]
_OfHundred = Annotated[float, Meta(ge=0, le=100)]
_Percent = Annotated[float, Meta(ge=0, le=100, description="Percent, one decimal.")]


class Figures(TypedDict):
    """Totals of a range of time."""

    start: int
    end: int
    requests: Count
    errors: Annotated[Count, Meta(description="Requests with a status from 400 on.")]
    errorRate: _Percent
    clientErrors: Annotated[Count, Meta(description="Requests with a status from 400 to 499.")]
    serverErrors: Annotated[Count, Meta(description="Requests with a status from 500 on.")]
    meanMs: _Ms
    p50Ms: _Ms
    p95Ms: _Ms
    p99Ms: _Ms
    maxMs: _Ms
    requestBytes: Count
    responseBytes: Count
    requestsPerMinute: Annotated[float, Meta(ge=0, description="On average over the range, one decimal.")]
    peakRequestsPerMinute: Annotated[Count, Meta(description="The most in a clock minute.")]
    consumers: Annotated[Count, Meta(description="Distinct consumers; requests without a consumer are none.")]
    withinTarget: Annotated[
        _OfHundred | None,
        Meta(
            description="Percent of the requests with a known time that took up to the target, one decimal."
            " Null without a target, and without a known time.",
        ),
    ]
    apdex: Annotated[
        _Share | None,
        Meta(
            description="Requests up to the target, and half of those up to four times the target, divided by all"
            " with a known time; two decimals. Null as `withinTarget`.",
        ),
    ]
    estimated: Annotated[bool, Meta(description="Percentiles and target come from buckets, within 2 %.")]


class Summary(Figures, total=False):
    """Totals of a range of time, and of an earlier one."""

    previous: Annotated[Figures, Meta(description="With `compare`: the figures of the earlier period.")]
    completeness: Completeness
