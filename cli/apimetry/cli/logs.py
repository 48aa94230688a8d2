"""Configure logging. Only the command does that; all other modules only log."""

from __future__ import annotations

import logging
import sys
import time

from apimetry.cli.output import one_line, printable


class Formatter(logging.Formatter):
    """Format a record as one line, in UTC. Foreign text can neither control a terminal nor forge a line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line without its traceback."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802 - the base class's name
        """Return the lines of a traceback."""
        return printable(super().formatException(ei))


def set_level(level: str) -> None:
    """Change the least severe level that is logged."""
    logging.getLogger().setLevel(level.upper())


def configure(level: str) -> None:
    """Send log lines of `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Request lines would carry query strings; the services have metrics instead.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # The driver logs every failed connection. The services log a failure once, with the next step.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
