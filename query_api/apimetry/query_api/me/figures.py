"""Read what is stored of applications, and keep it for some seconds: pages ask again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apimetry.query_api.me.sql import texts
from apimetry.query_api.planning.stored import ends, hours
from apimetry.store.statement import Ask

KEPT_S = 10
"""Seconds for which the figures of an application with events are kept."""

KEPT_NEW_S = 1
"""Seconds for which the figures of a new application are kept: a page waits for its first event and its texts."""

NEW_S = 600
"""An application is new without events, or while its first event is no older, in seconds."""

_APPLICATIONS_AT_ONCE = 20
"""Applications in one statement about single events: a statement with too many parts takes long to plan."""


@dataclass(frozen=True)
class Figures:
    """What is stored of an application; times in microseconds since the epoch, None without events."""

    first_us: int | None = None
    last_us: int | None = None
    has_consumers: bool = False
    has_versions: bool = False
    has_error_types: bool = False
    has_urls: bool = False
    is_sampled: bool = False


def read_figures(ask: Ask, applications: Sequence[str]) -> dict[str, Figures]:
    """Return the figures of every application. Blocks while `ask` does."""
    hours_of = {application: (first, last) for application, first, last in ask(hours(applications))}
    if not hours_of:
        return dict.fromkeys(applications, Figures())
    flags_of = {application: flags for application, *flags in ask(texts(hours_of))}
    figures = dict.fromkeys(applications, Figures())
    names = list(hours_of)
    for start in range(0, len(names), _APPLICATIONS_AT_ONCE):
        part = {name: hours_of[name] for name in names[start : start + _APPLICATIONS_AT_ONCE]}
        for application, first_us, last_us, *of_newest in ask(ends(part)):
            if last_us is not None:
                flags = map(bool, (*flags_of.get(application, (0, 0, 0)), *of_newest))
                figures[application] = Figures(first_us or hours_of[application][0] * 1_000_000, last_us, *flags)
    return figures


class KeptFigures:
    """The figures that were read in the last seconds; used on the event loop alone."""

    def __init__(self) -> None:
        self._figures: dict[str, tuple[float, Figures]] = {}

    def fresh(self, now: float) -> dict[str, Figures]:
        """Return the figures that still hold at `now`, by application, and forget the others."""
        self._figures = {
            name: entry for name, entry in self._figures.items() if 0 <= now - entry[0] < _kept_s(entry[1], now)
        }
        return {name: figures for name, (_, figures) in self._figures.items()}

    def keep(self, figures: Mapping[str, Figures], now: float) -> None:
        """Keep figures that were read at `now`."""
        self._figures |= {name: (now, read) for name, read in figures.items()}


def _kept_s(figures: Figures, now: float) -> int:
    is_new = figures.last_us is None or (figures.first_us or 0) > (now - NEW_S) * 1_000_000
    return KEPT_NEW_S if is_new else KEPT_S
