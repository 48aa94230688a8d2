"""Answer a question about completeness: ask the store, and make JSON of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.planning.completeness import losses, share_of
from apimetry.query_api.quality import sql
from apimetry.query_api.quality.kept import KeptParts
from apimetry.query_api.quality.params import QualityQuery
from apimetry.query_api.quality.response import (
    Quality,
    QualityCounts,
    QualityRest,
    QualitySender,
    QualityTotal,
)
from apimetry.store.statement import Ask

_NO_SENDERS: tuple[Any, ...] = (0, 0, 0, {}, 0, 0, 0)


def answer_quality(
    query: QualityQuery, application: str, *, ask: Ask, now: int, kept: KeptParts | None = None
) -> Quality:
    """Return the response about `application` at `now`, seconds since the epoch. Blocks while `ask` does.

    With `kept` parts of it may be some seconds old.
    """
    kept = kept or KeptParts()
    rows = ask(sql.senders(query, application, now))
    listed = [_sender(row[:11]) for row in rows]
    count, stored, delivered, dropped, lost_with_senders, pending, silent = rows[0][11:] if rows else _NO_SENDERS
    counts = _counts(stored, delivered, dropped, lost_with_senders)
    total: QualityTotal = {**counts, "pending": pending, "share": share_of(stored, counts["captured"])}
    ((events,),) = ask(sql.stored(query, application))
    answer: Quality = {
        "total": total,
        "series": _series(query, application, counts if rows else None, ask=ask, now=now),
        "senders": listed,
        "newestEventAt": _newest(application, ask, now),
        "silentSenders": silent,
        "withoutReports": max(0, events - stored),
        "recorded": kept.recorded(query, application, ask=ask, now=now),
        "collectors": kept.collecting(ask=ask, now=now),
    }
    if count > len(listed):
        answer["rest"] = _rest(total, listed, count)
    return answer


def _series(
    query: QualityQuery, application: str, total: QualityCounts | None, *, ask: Ask, now: int
) -> list[tuple[int, QualityCounts]]:
    """Return the counts of every bucket with reports. One bucket has the total, None without reports."""
    if query.buckets == 1:
        return [] if total is None else [(query.origin, total)]
    return [
        (query.origin + bucket * query.bucket_s, _counts(*of_bucket))
        for bucket, *of_bucket in ask(sql.series(query, application, now))
    ]


def _counts(stored: int, delivered: int, dropped: Mapping[str, int], lost_with_senders: int) -> QualityCounts:
    lost = losses(dropped, delivered - stored, lost_with_senders)
    return {"captured": stored + sum(lost.values()), "stored": stored, "lost": lost}


def _sender(row: tuple[Any, ...]) -> QualitySender:
    instance, source, version, first, last, stored, delivered, dropped, waiting, is_silent, buffered = row
    return {
        "instance": instance,
        "source": source,
        "version": version,
        "firstReport": iso_time(first),
        "lastReport": iso_time(last),
        **_counts(stored, delivered, dropped, waiting if is_silent else 0),
        "pending": 0 if is_silent else waiting,
        "state": "alive" if not is_silent else "gone" if buffered else "ended",
    }


def _rest(total: QualityTotal, listed: list[QualitySender], count: int) -> QualityRest:
    """Return the counts of the senders that are not listed: all counts without those of the listed ones."""
    lost = dict(total["lost"])
    for sender in listed:
        for reason, number in sender["lost"].items():
            lost[reason] -= number
    return {
        "senders": count - len(listed),
        "captured": total["captured"] - sum(sender["captured"] for sender in listed),
        "stored": total["stored"] - sum(sender["stored"] for sender in listed),
        "pending": total["pending"] - sum(sender["pending"] for sender in listed),
        "lost": {reason: number for reason, number in lost.items() if number},
    }


def _newest(application: str, ask: Ask, now: int) -> str | None:
    """Return the time of the newest stored event; a sender's clock may run ahead of ours."""
    for (newest_us,) in ask(sql.newest(application)):
        return iso_time(min(newest_us // 1_000_000, now))
    return None
