from __future__ import annotations

import contextlib

import pytest
from aiohttp.test_utils import TestClient

from tests.support.services.front_door import ListeningServer


@pytest.fixture
async def aiohttp_client_of():
    """Return a function that serves an application on a free port and returns a client of it."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(app):
            return await stack.enter_async_context(TestClient(ListeningServer(app)))

        yield serve
