"""Answer what changed (docs/api.md, "Explain")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apimetry.query_api.explain import response, sql
from apimetry.query_api.explain.params import CONSUMER, ExplainQuery
from apimetry.query_api.explain.slices import METRICS, Cause, Counts, Metric, Slice, parts, telling
from apimetry.query_api.http.json_values import iso_time_us
from apimetry.query_api.planning.group_limit import ask_for_groups
from apimetry.store.statement import Ask, Rows

_ADVICE: Final = "ask for a shorter range, or add a filter"
_EMPTY: Final = Slice({}, Counts(), Counts())
_RATES: Final = ("errorRate", "meanMs")


def answer_explain(
    query: ExplainQuery, application: str, *, ask: Ask, now: int | None = None
) -> response.Explanation:
    """Return the response about `application`; `now` is the time of the query, if known. Blocks while `ask` does.

    Raises:
        BadRequest: there are too many combinations of values.
    """
    metric = METRICS[query.metric]
    rows = ask_for_groups(sql.slices(query, application, now), ask, advice=_ADVICE)
    known = _slices(rows, query.dimensions)
    whole = next((own for own in known if not own.values), _EMPTY)
    of_slices = parts([own for own in known if own.values], whole, metric)
    causes = telling(of_slices, whole, query.limit)
    by_consumer: list[Cause] = []
    if of_slices and query.names_consumers:
        rows = ask_for_groups(sql.consumers(query, application, now), ask, advice=_ADVICE)
        named = [own for own in _slices(rows, (CONSUMER,)) if own.values[CONSUMER]]
        by_consumer = sorted(parts(named, whole, metric), key=lambda cause: -cause.part.whole)
    return {
        "metric": query.metric,
        "start": query.start,
        "end": query.end,
        "beforeStart": query.before[0],
        "beforeEnd": query.before[1],
        "now": _shown(metric, whole.now),
        "before": _shown(metric, whole.before),
        "explained": round(min(1.0, sum(cause.part.whole for cause in causes)), 4) if of_slices else None,
        "causes": [_cause(cause, query.metric) for cause in causes],
        "consumers": [_cause(cause, query.metric) for cause in by_consumer if cause.part.whole > 0][: query.limit],
    }


def _slices(rows: Rows, dimensions: Sequence[str]) -> list[Slice]:
    return [_slice(row, dimensions) for row in rows]


def _slice(row: Sequence[Any], dimensions: Sequence[str]) -> Slice:
    absent, keys, counts = row[0], row[1 : 1 + len(dimensions)], row[1 + len(dimensions) :]
    bits = [absent >> place & 1 for place in reversed(range(len(dimensions)))]
    values = {name: str(key) for name, key, bit in zip(dimensions, keys, bits, strict=True) if not bit}
    half = len(sql.COUNTS)
    return Slice(values, Counts(*counts[:half]), Counts(*counts[half : 2 * half]), counts[2 * half])


def _cause(cause: Cause, metric_name: str) -> response.Cause:
    metric, own, is_rate = METRICS[metric_name], cause.slice, metric_name in _RATES
    return {
        "slice": dict(own.values),
        "now": _shown(metric, own.now),
        "before": _shown(metric, own.before),
        "requests": own.now.requests,
        "contribution": round(cause.part.whole, 4),
        "byRate": round(cause.part.by_rate, 4) if is_rate else None,
        "byMix": round(cause.part.by_mix, 4) if is_rate else None,
        "since": iso_time_us(own.since_us) if own.since_us and not metric.of(own.before) else None,
    }


def _shown(metric: Metric, counts: Counts) -> float | None:
    value = metric.value(counts)
    return None if value is None else round(value, 1)
