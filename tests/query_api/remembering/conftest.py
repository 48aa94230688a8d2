"""Stores with events."""

from __future__ import annotations

import pytest

from tests.support.oracles.query_events import insert_events
from tests.support.oracles.remembered import (
    EVENTS,
)


@pytest.fixture
def filled(store):
    """A store with EVENTS, whose process has inserted before; embedded and over HTTP."""
    insert_events(store, EVENTS)
    return store


@pytest.fixture
def embedded(embedded_store):
    """An embedded store with EVENTS, where the kind of store makes no difference."""
    insert_events(embedded_store, EVENTS)
    return embedded_store
