"""Answer a question for versions (docs/api.md, "Versions")."""

from __future__ import annotations

from typing import Final

from apimetry.query_api.http.json_values import iso_time_us
from apimetry.query_api.planning.figures import percent
from apimetry.query_api.planning.group_limit import ask_for_groups
from apimetry.query_api.versions import sql
from apimetry.query_api.versions.params import VersionsQuery
from apimetry.query_api.versions.response import ServedVersion, Versions
from apimetry.query_api.versions.runs import Hour, Run, runs_of
from apimetry.store.statement import Ask

_ADVICE: Final = "ask for a shorter range, or add a filter"


def answer_versions(query: VersionsQuery, application: str, *, ask: Ask, now: int | None = None) -> Versions:
    """Return the response about `application`; `now` is the time of the query, if known. Blocks while `ask` does.

    Raises:
        BadRequest: the versions have more than MAX_GROUPS hours together.
    """
    rows = ask_for_groups(sql.hours(query, application, now), ask, advice=_ADVICE)
    hours = [Hour(*row) for row in rows]
    runs = [run for run in runs_of(hours) if run.requests]
    newest = sorted(runs, key=lambda run: (-run.first_us, run.version))[: query.limit]
    shown = _exact(newest, query, application, ask)
    returned = _returned(shown, query, application, ask)
    shown.sort(key=lambda run: (-run.first_us, run.version))
    return {"versions": [_entry(run, is_return=run.is_return or run.begun in returned) for run in shown]}


def _exact(runs: list[Run], query: VersionsQuery, application: str, ask: Ask) -> list[Run]:
    """Return the runs with the exact times of their first hours, as far as the events are still stored."""
    begun = [run.begun for run in runs if not run.hours[0].is_exact]
    if not begun:
        return runs
    rows = ask_for_groups(sql.exact(query, application, begun), ask, advice=_ADVICE)
    times = {(version, hour): of_hour for version, hour, *of_hour in rows}
    return [run.exact_in(run.begun[1], *times[run.begun]) if run.begun in times else run for run in runs]


def _returned(runs: list[Run], query: VersionsQuery, application: str, ask: Ask) -> set[tuple[str, int]]:
    """Return the beginnings of runs whose versions served before all hours that were read, and others meanwhile."""
    candidates = {run.version: run.begun for run in runs if run.is_after_others and not run.is_return}
    if not candidates or not sql.begins_s(query):
        return set()
    return {candidates[version] for (version,) in ask(sql.known(query, application, list(candidates)))}


def _entry(run: Run, *, is_return: bool) -> ServedVersion:
    return {
        "version": run.version,
        "firstSeen": iso_time_us(run.first_us),
        "lastSeen": iso_time_us(run.last_us),
        "requests": run.requests,
        "errorRate": percent(run.errors, run.requests),
        "sources": run.sources[: sql.MAX_SOURCES],
        "isReturn": is_return,
    }
