"""Which table answers a question. Pure.

The coarsest table that can answer exactly is the fastest one. A rollup can when its buckets fit both the asked
granularity and the asked time range without a remainder, and it kept every dimension and the kind of aggregation that
the question needs. Raw events can always, so they are the last resort; today they are the only source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apimetry.query_api.params import DIMENSIONS, VALUES, Granularity, TimeseriesQuery


@dataclass(frozen=True)
class Source:
    """A table and what it can answer. `bucket_s` is None for raw events."""

    table: str
    bucket_s: int | None
    dimensions: frozenset[str]
    values: frozenset[str]
    keeps_percentiles: bool


RAW = Source("events", None, frozenset(DIMENSIONS), frozenset(VALUES), keeps_percentiles=True)
SOURCES = (RAW,)


def plan(query: TimeseriesQuery, sources: Sequence[Source] = SOURCES) -> Source:
    """Return the coarsest of `sources` that answers `query` exactly.

    Raises:
        LookupError: none can; never with raw events among them.
    """
    fitting = [source for source in sources if _answers(source, query)]
    if not fitting:
        raise LookupError(f"no table answers {query.aggregation} of {query.value}")
    return max(fitting, key=lambda source: source.bucket_s or 0)


def _answers(source: Source, query: TimeseriesQuery) -> bool:
    if not query.dimensions <= source.dimensions:
        return False
    if query.aggregation != "count" and query.value not in source.values:
        return False
    if query.percentile is not None and not source.keeps_percentiles:
        return False
    return source.bucket_s is None or _fits(source.bucket_s, query)


def _fits(bucket_s: int, query: TimeseriesQuery) -> bool:
    """Tell whether no bucket of the table straddles an edge of the range or of an asked bucket."""
    # Weeks start on a Monday: a table of epoch-aligned weeks has their size, not their edges.
    granularity = query.granularity or Granularity(bucket_s)
    edges = (query.start, query.end, granularity.seconds, granularity.origin_s)
    return all(edge % bucket_s == 0 for edge in edges)
