"""Detect which server a --log-format belongs to, and compile it. Pure."""

from __future__ import annotations

import re
from datetime import tzinfo

from apimetry.cli.access_logs.layouts.apache import compile_apache, is_gunicorn
from apimetry.cli.access_logs.layouts.fields import parser_of
from apimetry.cli.access_logs.layouts.nginx import compile_nginx
from apimetry.cli.access_logs.layouts.template import LayoutError, Template
from apimetry.cli.access_logs.lines import Parser

_VARIABLE = re.compile(r"\$\{?[a-z]\w*")
_DIRECTIVE = re.compile(r"%[<>!{A-Za-z]")


def compile_layout(text: str, zone: tzinfo) -> Parser:
    """Return the parser of an nginx, Apache or gunicorn format; raise LayoutError."""
    return parser_of(_compile(text), zone)


def _compile(text: str) -> Template:
    if is_gunicorn(text):
        return compile_apache(text)
    start = text.lstrip().lower()
    if start.startswith(("logformat", "customlog")):
        return compile_apache(text)
    if start.startswith("log_format") or _VARIABLE.search(text):
        return compile_nginx(text)
    if _DIRECTIVE.search(text):
        return compile_apache(text)
    raise LayoutError("it has neither nginx's variables ($status) nor Apache's directives (%>s)")
