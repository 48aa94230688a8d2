"""The filters of a command about events, as options; the service reads and refuses them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import click

Parameters = tuple[tuple[str, str], ...]
_OPTIONS: Final = (
    ("--include", "FIELD:VALUE", "only events with this value, as route:/cart or status_code:5xx"),
    ("--exclude", "FIELD:VALUE", "no events with this value"),
    ("--has", "FIELD:TEXT", "only events whose field contains this text, as url:cart"),
)


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the filters, and `filters` as an argument: parameters for a query string."""

    @functools.wraps(command)
    def wrapper(*arguments: Any, include: Any, exclude: Any, has: Any, **others: Any) -> None:  # noqa: ANN401 - click passes options by name
        texts = (("include", include), ("exclude", exclude), ("has", has))
        filters = tuple((name, value) for name, values in texts for value in values)
        command(*arguments, filters=filters, **others)

    decorated: Callable[..., None] = wrapper
    for name, metavar, text in reversed(_OPTIONS):
        decorated = click.option(name, multiple=True, metavar=metavar, help=f"{text}; repeatable")(decorated)
    return decorated
