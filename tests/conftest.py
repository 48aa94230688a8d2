"""Fixtures that every room's tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine may take any time for an example.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

pytest_plugins = ["tests.support.engine.fixtures_store", "tests.support.hosts.fixtures_hosts"]
