"""The one error shape of both services, and the one place where exceptions become responses.

Every error body is ``{"error": REASON, "message": TEXT}``, and some have ``"details": [...]`` (docs/api.md,
"Errors"). No response carries a stack trace, SQL or a key.

    APIError
    ├── BadRequest            400 (also a ValueError)
    ├── Unauthorized          401
    ├── Forbidden             403 (also a PermissionError)
    ├── NotFound              404 (also a LookupError)
    ├── TooSlow               408, and the connection ends
    ├── Conflict              409
    ├── PayloadTooLarge       413
    ├── UnsupportedMediaType  415
    ├── TooManyRequests       429, with Retry-After
    └── Unavailable           503, with Retry-After
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, ClassVar, TypedDict

import msgspec
from aiohttp import web

from apimetry.serving.answer_types import Count
from apimetry.store.errors import QueryLimitExceeded, StoreError, is_transient

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A client may send any word as a method. Responses and logs repeat these methods only.
METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))
# A key: its prefix, and its secret.
_KEY = re.compile(r"(apimetry_[a-z]_)[A-Za-z0-9_-]+", re.IGNORECASE)

# How long a client should wait while the store is away: about one interval of a load balancer's health check.
STORE_RETRY_AFTER_S = 5


class Detail(msgspec.Struct, frozen=True):
    """What is wrong with one event of a batch."""

    index: Count
    field: str
    message: str


class _ErrorBody(TypedDict):
    error: str
    message: str


class Error(_ErrorBody, total=False):
    """The body of every error."""

    details: Annotated[
        Sequence[Detail],
        msgspec.Meta(description="What was wrong with each event of a batch that has no valid one."),
    ]
    missing_shards: Annotated[
        Sequence[Count],
        msgspec.Meta(description="The shards of the store's cluster that cannot be reached, by their numbers."),
    ]
    success: Annotated[bool, msgspec.Meta(description="Always false, and under `/v1/developer/` alone.")]


class APIError(Exception):
    """An error that the client gets, with an HTTP status.

    Args:
        message: what is wrong, with which value, and what is allowed; never a secret.
        details: the invalid events of a batch.
        headers: headers of the response, such as ``Allow``.
    """

    status: ClassVar[int] = 500
    missing_shards: Sequence[int] = ()

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[Detail] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers = dict(headers or {})


class BadRequest(APIError, ValueError):
    """The request is not valid; the message names the parameter, the value and what is allowed."""

    status = 400


class Unauthorized(APIError):
    """No key, or a key that is unknown, revoked, expired, or of another application than the request names."""

    status = 401

    def __init__(self, message: str = "Invalid or missing API key") -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(APIError, PermissionError):
    """A valid key of the wrong kind, or beyond what the plan allows."""

    status = 403


class NotFound(APIError, LookupError):
    """Nothing with this name exists that the key may see."""

    status = 404


class TooSlow(APIError):
    """The body did not arrive in time."""

    status = 408

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Connection": "close"})


class Conflict(APIError):
    """The object exists already, or its state forbids the change."""

    status = 409


class PayloadTooLarge(APIError):
    """The body is over a limit, which the message states."""

    status = 413


class UnsupportedMediaType(APIError):
    """The content type or encoding is unknown; the message lists the known ones."""

    status = 415


class _Retryable(APIError):
    """An error that passes: the response says when to try again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        # RFC 9110, section 10.2.3: whole seconds.
        wait_s = max(1, math.ceil(retry_after_s))
        super().__init__(message, headers={"Retry-After": str(wait_s)})


class TooManyRequests(_Retryable):
    """A limit on the rate or the number of calls is used up."""

    status = 429


class Unavailable(_Retryable):
    """The service cannot do this now; it has stored nothing of the request.

    Args:
        missing_shards: the numbers of the shards that the answer needs and that cannot be reached.
    """

    status = 503

    def __init__(self, message: str, *, retry_after_s: float, missing_shards: Sequence[int] = ()) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.missing_shards = missing_shards


def error_response(
    status: int,
    message: str,
    *,
    details: Sequence[Detail] | None = None,
    missing_shards: Sequence[int] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a response in the one error shape, without the keys that the client may have put into the message."""
    body: Error = {"error": HTTPStatus(status).phrase, "message": _as_utf8(message)}
    if details is not None:
        body["details"] = details
    if missing_shards:
        body["missing_shards"] = missing_shards
    return web.Response(
        status=status,
        body=without_keys(msgspec.json.encode(body).decode()).encode(),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _as_utf8(text: str) -> str:
    """Return `text` with a question mark for every byte of the client that is not valid UTF-8."""
    return text.encode(errors="replace").decode()


def without_keys(text: str) -> str:
    """Return `text` with the secret of every key replaced by asterisks."""
    return _KEY.sub(r"\1***", text)


def method_of(request: web.BaseRequest) -> str:
    """Return the request's method if it is a known one, otherwise `(other)`: a client may send any word."""
    return request.method if request.method in METHODS else "(other)"


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the exception of a handler into a response in the one error shape.

    A user's mistake (`APIError`, aiohttp's own 4xx) keeps its status. A failure of the store becomes a 503, or a 400
    if the query was too large. Any other exception is logged with its traceback and becomes a bare 500.
    """
    try:
        return await handler(request)
    except APIError as error:
        return error_response(
            error.status,
            error.message,
            details=error.details,
            missing_shards=error.missing_shards,
            headers=error.headers,
        )
    except web.HTTPException as error:
        return _from_http_exception(request, error)
    except StoreError as error:
        return _from_store_error(request, error)
    except (web.RequestPayloadError, ConnectionError):
        # If the client has left, nobody reads this response.
        return error_response(400, "The body ended before its announced length, or is not readable")
    except Exception:
        # The outermost frame of a request: the client gets the error shape, and the log gets the traceback.
        logger.exception("unexpected error in %s %s", method_of(request), _route_of(request))
        return error_response(500, "Unexpected error; the service's log has the reason")


def _from_http_exception(request: web.Request, error: web.HTTPException) -> web.Response:
    if error.status < 400:
        raise error
    messages = {
        404: f"No such path: {request.path[:200]}",
        405: f"{method_of(request)} is not allowed here",
        413: "The request body is too large",
    }
    headers = {name: value for name, value in error.headers.items() if name.lower() in ("allow", "retry-after")}
    return error_response(error.status, messages.get(error.status, error.reason), headers=headers)


def _from_store_error(request: web.Request, error: StoreError) -> web.Response:
    if isinstance(error, QueryLimitExceeded):
        return error_response(400, f"The question is too large to answer: {error}")
    if is_transient(error):
        logger.warning("store unavailable in %s %s: %s", method_of(request), _route_of(request), error)
        return error_response(503, "The store is not available", headers={"Retry-After": str(STORE_RETRY_AFTER_S)})
    logger.error("store refused a statement in %s %s: %s", method_of(request), _route_of(request), error)
    return error_response(500, "The store refused the statement; the service's log has the reason")


def _route_of(request: web.Request) -> str:
    """Return the route's template: a path may carry values that do not belong in a log."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(unmatched)"
