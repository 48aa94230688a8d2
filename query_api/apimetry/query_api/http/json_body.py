"""Reads the JSON body of a request: bytes in, a checked struct out."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from apimetry.query_api.http.body_refusals import refusal_of
from apimetry.serving.errors import BadRequest, UnsupportedMediaType

Body = TypeVar("Body", bound=msgspec.Struct)


async def read_body(request: web.Request, shape: type[Body], *, may_be_empty: bool = False) -> Body:
    """Return the request's JSON body as `shape`. Authorize before calling it.

    Raises:
        BadRequest: not JSON, an unknown member, or a value that is not allowed; the message names it.
        UnsupportedMediaType: the body says that it is not JSON.
    """
    content = await request.read()
    if not content and may_be_empty:
        return shape()
    if request.content_type != "application/json":
        raise UnsupportedMediaType(f"Content-Type is {request.content_type!r}; allowed: application/json")
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as error:
        raise refusal_of(error, content, shape) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from error
