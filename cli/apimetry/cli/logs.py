"""Where log lines go. Only the command configures logging; every other module just logs."""

from __future__ import annotations

import logging
import sys
import time


def set_level(level: str) -> None:
    """Change the least severe level that is logged."""
    logging.getLogger().setLevel(level.upper())


def configure(level: str) -> None:
    """Send log lines of `level` and above to standard error, one line each, times in UTC."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Request lines would carry query strings; the services have metrics instead.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # It reports every failed connection itself; ours says it once, with what happens next.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
