"""Fixtures that every room's tests share."""

pytest_plugins = ["tests.support.engine.fixtures_store", "tests.support.hosts.fixtures_hosts"]
