"""Tables for people, on a terminal or in a pipe. Foreign text cannot control the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from apimetry.cli.output import one_line

Cell = str | int | float | None


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, texts: int = 1) -> Table:
    """Return a table whose first `texts` columns are texts, and the others numbers; nothing is shown as "-"."""
    table = Table(title=_text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        is_text = place < texts
        # On a narrow terminal texts take more lines, and numbers stay whole.
        table.add_column(
            Text(one_line(column)), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text
        )
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _text(cell: Cell) -> Text:
    if cell is None or cell == "":
        return Text("-")
    return Text(one_line(cell)) if isinstance(cell, str) else Text(f"{cell:,}")
