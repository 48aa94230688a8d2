"""Parse Hypercorn's default: the combined format with the bare version in the request: `GET /ok 1.1`. Pure."""

from __future__ import annotations

import re

from apimetry.cli.access_logs.formats.combined import combined
from apimetry.cli.access_logs.lines import BadLine, LogLine

_REQUEST = re.compile(r"\] \"[A-Z]{1,32} [^\"]{1,4096} (?:\d\.\d|[23]|ws)\" ")


def hypercorn(text: str) -> LogLine:
    """Parse a line of Hypercorn; raise BadLine."""
    if _REQUEST.search(text[:16_384]) is None:
        raise BadLine("it is not a line of Hypercorn")
    return combined(text)
