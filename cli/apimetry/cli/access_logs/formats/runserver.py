"""Parse lines of development servers: Werkzeug (`flask run`), Django's runserver, Daphne, http.server. Pure.

Their times are in the zone of the machine, and do not name it.
"""

from __future__ import annotations

from datetime import tzinfo

from apimetry.cli.access_logs.formats.combined import read_without_zone
from apimetry.cli.access_logs.lines import Parser
from apimetry.cli.access_logs.times import clf_time_us


def runserver(zone: tzinfo) -> Parser:
    """Return a parser of `[26/Nov/2026 14:43:04] "GET / HTTP/1.1" 200 12`, with or without an address before it."""
    return lambda text: read_without_zone(text, lambda time: clf_time_us(time, zone))
