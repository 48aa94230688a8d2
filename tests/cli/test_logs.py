"""Foreign text in the log can neither control a terminal nor forge a line."""

from __future__ import annotations

import logging

from apimetry.cli.logs import Formatter


def line_of(message, *arguments, exc_info=None):
    record = logging.LogRecord("apimetry.x", logging.WARNING, "x.py", 1, message, arguments, exc_info)
    record.created = 0
    return Formatter().format(record)


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
