"""Configure logging. Only the command does that; all other modules only log."""

from __future__ import annotations

import json
import logging
import sys
import time

from apimetry.cli.output import one_line, printable
from apimetry.serving.request_ids import CURRENT


class Formatter(logging.Formatter):
    """Format a record as one line, in UTC. Foreign text can neither control a terminal nor forge a line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line without its traceback; it ends with the id of the request that it was written for."""
        request_id = CURRENT.get()
        return one_line(super().formatMessage(record)) + (f" [{request_id}]" if request_id else "")

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802 - the base class's name
        """Return the lines of a traceback."""
        return printable(super().formatException(ei))


class JSONFormatter(logging.Formatter):
    """Format a record as one JSON object in one line, in ASCII.

    Its members are `time` (UTC), `level`, `logger` and `message`; `request_id` within a request; `exception` with the
    text of a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        content = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := CURRENT.get():
            content["request_id"] = request_id
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content)


FORMATTERS = {"text": Formatter, "json": JSONFormatter}


def set_level(level: str) -> None:
    """Change the least severe level that is logged."""
    logging.getLogger().setLevel(level.upper())


def configure(level: str, log_format: str) -> None:
    """Send log lines of `level` and above to standard error; `log_format` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATTERS[log_format]())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Request lines would carry query strings; the services have metrics instead.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # The driver logs every failed connection. The services log a failure once, with the next step.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
