"""Fixtures of the middleware's tests."""

from __future__ import annotations

import pytest

from apimetry.middleware.recorder import Recorder


@pytest.fixture
def make(fake_collector):
    """Make a recorder that sends to the collector."""
    return lambda **options: Recorder({**fake_collector.options, **options}, {})
