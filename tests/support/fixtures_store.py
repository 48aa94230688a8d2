"""ClickHouse, embedded and over HTTP, for tests."""
