"""The query service over a real engine, both ways."""

import pytest

from tests.support.query_service import running_query_service


@pytest.fixture
async def service(store):
    """The running service; its store is empty, embedded or over HTTP."""
    async with running_query_service(store) as running:
        yield running


@pytest.fixture
async def server_service(server_store):
    """The running service over one kind of store, where the kind makes no difference."""
    async with running_query_service(server_store) as running:
        yield running
