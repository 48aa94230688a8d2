"""Foreign text in the log can neither control a terminal nor forge a line."""

from __future__ import annotations

import json
import logging

from apimetry.cli.logs import Formatter, JSONFormatter
from apimetry.serving.request_ids import CURRENT


def line_of(message, *arguments, exc_info=None, formatter=None):
    record = logging.LogRecord("apimetry.x", logging.WARNING, "x.py", 1, message, arguments, exc_info)
    record.created, record.msecs = 0, 7
    return (formatter or Formatter()).format(record)


def test_a_log_line_is_one_line_without_control_characters():
    line = line_of("the file %s cannot be read", "a\x1b[2J\n2026-01-01T00:00:00Z ERROR forged\r")
    assert line == (
        "1970-01-01T00:00:00Z WARNING apimetry.x: the file a�[2J�2026-01-01T00:00:00Z ERROR forged� cannot be read"
    )


class Hostile(Exception):
    """An exception with foreign text."""


def test_a_traceback_keeps_its_lines_and_loses_control_characters():
    error = Hostile("a\x1b[2J")
    lines = line_of("unexpected", exc_info=(Hostile, error, None)).splitlines()
    assert lines[0].endswith("apimetry.x: unexpected")
    assert lines[-1].endswith("Hostile: a�[2J")


def test_a_json_line_is_one_object_in_one_line_whatever_the_text():
    error = Hostile("a\x1b[2J\n\ud800")
    line = line_of("the file %s", 'a"\n\x1b', exc_info=(Hostile, error, None), formatter=JSONFormatter())
    assert "\n" not in line
    assert line.isascii()
    content = json.loads(line)
    assert content.pop("exception").endswith("Hostile: a\x1b[2J\n\ud800")
    assert content == {
        "time": "1970-01-01T00:00:00.007Z",
        "level": "warning",
        "logger": "apimetry.x",
        "message": 'the file a"\n\x1b',
    }


def test_a_line_within_a_request_has_its_id():
    token = CURRENT.set("abc")
    try:
        assert json.loads(line_of("x", formatter=JSONFormatter()))["request_id"] == "abc"
        assert line_of("x").endswith("apimetry.x: x [abc]")
    finally:
        CURRENT.reset(token)
