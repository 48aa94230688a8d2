"""How an answer shows what it has: the parameters `format` and `unit`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apimetry.query_api.http.query_string import one_of, single
from apimetry.query_api.planning.time_range import per_second_of

PRESENTATION_PARAMETERS = ("format", "unit")
NESTED, ROWS = "nested", "rows"
FORMATS = (NESTED, ROWS)

Cell = str | float | None
FlatRow = dict[str, Cell]
"""A flat record, which Grafana, pandas and DuckDB read as the row of a table."""


@dataclass(frozen=True)
class Presentation:
    """The form of an answer."""

    in_rows: bool = False
    """Whether the answer is an array of flat records."""

    per_second: int = 1
    """1 for times in seconds, 1000 for milliseconds."""

    def time(self, time_s: int) -> int:
        """Return a time as the answer shows it."""
        return time_s * self.per_second


def presentation_of(values: dict[str, list[str]]) -> Presentation:
    """Return the form that a query string asks for, of which `collect` made `values` by parameter."""
    shape = one_of("format", single(values, "format"), FORMATS)
    return Presentation(shape == ROWS, per_second_of(values))


def previous_cells(names: Iterable[str], figures: Mapping[str, Cell]) -> FlatRow:
    """Return the figures of another period as cells beside those of the asked one; null where there are none."""
    return {f"previous_{name}": figures.get(name) for name in names}
