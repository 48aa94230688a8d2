"""Each response names the id of its request, and so does what is logged meanwhile."""

from __future__ import annotations

import logging
import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from apimetry.serving.errors import error_middleware
from apimetry.serving.request_ids import CURRENT, request_id_marker, request_id_middleware


async def ask(headers):
    """Return the response of a service with request ids, and the ids that its handler saw."""
    handler_ids = []

    async def handle(_):
        handler_ids.append(CURRENT.get())
        raise web.HTTPNotFound

    app = web.Application(middlewares=[request_id_middleware, error_middleware])
    app.on_response_prepare.append(request_id_marker)
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client:
        responses = [await client.get("/", headers=headers) for _ in range(2)]
    return [response.headers["X-Request-Id"] for response in responses], handler_ids


async def test_an_id_that_a_proxy_gave_is_kept_in_the_response_and_the_log():
    response_ids, handler_ids = await ask({"X-Request-Id": "0af7651916cd43dd-8448:eb"})
    assert response_ids == handler_ids == ["0af7651916cd43dd-8448:eb"] * 2
    assert CURRENT.get() == ""


@pytest.mark.parametrize("request_id", [None, "", "a" * 65, "a b", 'a"b', "ä"])
async def test_a_request_without_a_usable_id_gets_one_of_its_own(request_id, caplog):
    caplog.set_level(logging.ERROR)
    response_ids, handler_ids = await ask({"X-Request-Id": request_id} if request_id is not None else {})
    assert response_ids == handler_ids
    assert len(set(response_ids)) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in response_ids)
