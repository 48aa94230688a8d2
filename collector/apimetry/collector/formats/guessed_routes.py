"""Guess the route of a request from its path, where nobody recorded the route. Pure."""

from __future__ import annotations

import re

from apimetry.middleware.masking import MASK, mask_path

_MAX_PATH_CHARACTERS = 4096
_MAX_ROUTE_CHARACTERS = 1024
_IDENTIFIER = re.compile(
    r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}"
)
_LONG_NAME = re.compile(r"[A-Za-z0-9_-]{20,}")
_DIGIT = re.compile(r"\d")


def guess_route(path: str) -> str:
    """Return a route made from the path: secrets and identifiers become `{id}`."""
    if len(path) > _MAX_PATH_CHARACTERS:
        path = path[:_MAX_PATH_CHARACTERS].rpartition("/")[0]
    segments = ("{id}" if _is_identifier(segment) else segment for segment in mask_path(path).split("/"))
    return "/".join(segments)[:_MAX_ROUTE_CHARACTERS]


def _is_identifier(segment: str) -> bool:
    if MASK in segment or _IDENTIFIER.fullmatch(segment):
        return True
    return _LONG_NAME.fullmatch(segment) is not None and _DIGIT.search(segment) is not None
