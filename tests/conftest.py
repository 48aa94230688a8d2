"""Fixtures that every room's tests share."""

from __future__ import annotations

pytest_plugins = ["tests.support.engine.fixtures_store", "tests.support.hosts.fixtures_hosts"]
