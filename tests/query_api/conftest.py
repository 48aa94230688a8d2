"""The query service over a real engine."""

from __future__ import annotations

import pytest

from tests.support.services.query_service import running_query_service


@pytest.fixture
async def service(store):
    """The running service; its store is empty, embedded or over HTTP."""
    async with running_query_service(store) as running:
        yield running


@pytest.fixture
async def embedded_service(embedded_store):
    """The running service over an `embedded_store`."""
    async with running_query_service(embedded_store) as running:
        yield running
