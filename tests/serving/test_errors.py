from __future__ import annotations

import logging

import pytest
from aiohttp import web

from apimetry.serving.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    error_middleware,
)
from apimetry.store.errors import QueryLimitExceeded, StoreRejected, StoreUnavailable


@pytest.fixture
async def answer_to(aiohttp_client_of):
    """Return a function: a handler's exception in, the status, headers and body of its response out."""

    async def respond(error, path="/boom/secret-value"):
        async def boom(_):
            raise error

        app = web.Application(middlewares=[error_middleware])
        app.router.add_get("/boom/{value}", boom)
        client = await aiohttp_client_of(app)
        response = await client.get(path)
        return response.status, response.headers, await response.json()

    return respond


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (BadRequest("limit is 'x'"), 400, "Bad Request"),
        (Forbidden("Only Admin keys can do this"), 403, "Forbidden"),
        (NotFound("No application 'x'"), 404, "Not Found"),
        (Conflict("exists"), 409, "Conflict"),
        (PayloadTooLarge("over 1 MiB"), 413, "Request Entity Too Large"),
        (UnsupportedMediaType("allowed: a, b"), 415, "Unsupported Media Type"),
    ],
)
async def test_an_error_is_answered_with_its_status_reason_and_message(answer_to, error, status, reason):
    answered, _, body = await answer_to(error)
    assert answered == status
    assert body["message"] == error.message
    # Python 3.13 renamed two reason phrases after RFC 9110.
    assert body["error"] in (reason, "Content Too Large")
    assert set(body) == {"error", "message"}


async def test_missing_key_is_answered_as_the_api_document_says(answer_to):
    status, headers, body = await answer_to(Unauthorized())
    assert (status, body) == (401, {"error": "Unauthorized", "message": "Invalid or missing API key"})
    assert headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("kind", [TooManyRequests, Unavailable])
async def test_passing_error_says_in_whole_seconds_when_to_try_again(answer_to, kind):
    _, headers, _ = await answer_to(kind("later", retry_after_s=1.2))
    assert headers["Retry-After"] == "2"
    _, headers, _ = await answer_to(kind("soon", retry_after_s=0))
    assert headers["Retry-After"] == "1"


async def test_details_are_part_of_the_body(answer_to):
    _, _, body = await answer_to(BadRequest("no", details=[{"index": 3}]))
    assert body == {"error": "Bad Request", "message": "no", "details": [{"index": 3}]}


async def test_unexpected_error_is_logged_by_route_and_not_shown_to_the_client(answer_to, caplog):
    with caplog.at_level(logging.ERROR):
        status, _, body = await answer_to(ZeroDivisionError("inner detail"))
    assert status == 500
    assert "inner detail" not in str(body)
    assert "/boom/{value}" in caplog.text
    assert "secret-value" not in caplog.messages[0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable("SELECT secret"), 503),
        (StoreRejected("SELECT secret"), 500),
        (QueryLimitExceeded("more than 30 s"), 400),
    ],
)
async def test_a_failure_of_the_store_is_answered_without_its_sql(answer_to, error, status):
    answered, headers, body = await answer_to(error)
    assert answered == status
    assert "SELECT" not in body["message"]
    assert ("Retry-After" in headers) == (status == 503)


async def test_an_unknown_path_has_the_error_shape_too(answer_to):
    status, _, body = await answer_to(BadRequest("unused"), path="/elsewhere")
    assert (status, body) == (404, {"error": "Not Found", "message": "No such path: /elsewhere"})


async def test_a_wrong_method_says_which_are_allowed(aiohttp_client_of):
    app = web.Application(middlewares=[error_middleware])

    async def handler(_):
        return web.Response()

    app.router.add_get("/only-get", handler)
    response = await (await aiohttp_client_of(app)).post("/only-get")
    assert response.status == 405
    assert response.headers["Allow"] == "GET,HEAD"
    assert (await response.json())["error"] == "Method Not Allowed"
