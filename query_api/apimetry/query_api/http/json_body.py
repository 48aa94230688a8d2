"""Read the JSON body of a request: bytes in, a checked struct out."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from apimetry.query_api.http.body_refusals import refusal_of
from apimetry.serving.errors import BadRequest, TooSlow, UnsupportedMediaType
from apimetry.serving.expectations import invite

# 64 KiB in 10 s are 50 kbit/s.
BODY_TIMEOUT_S: Final = 10.0

Body = TypeVar("Body", bound=msgspec.Struct)


async def read_body(request: web.Request, shape: type[Body], *, may_be_empty: bool = False) -> Body:
    """Return the request's JSON body as `shape`. Call it after the check of the key.

    Raises:
        BadRequest: not JSON, an unknown member, or a value that is not allowed; the message names it.
        UnsupportedMediaType: the Content-Type is not JSON.
        TooSlow: the body was not complete in time.
    """
    content = await _content_of(request)
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


async def _content_of(request: web.Request) -> bytes:
    invite(request)
    try:
        return await asyncio.wait_for(request.read(), BODY_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise TooSlow(f"The body was not complete after {BODY_TIMEOUT_S:g} s") from None
