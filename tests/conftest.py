"""Fixtures that every room's tests share."""

pytest_plugins = ["tests.support.fixtures_store", "tests.support.fixtures_hosts"]
