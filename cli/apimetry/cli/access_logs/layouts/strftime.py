"""Compile Apache's `%{format}t`: strftime's directives, and Apache's own names such as `sec`. Pure."""

from __future__ import annotations

import re

from apimetry.cli.access_logs.layouts import fields
from apimetry.cli.access_logs.layouts.template import Field, LayoutError

_OWN = {
    "sec": Field("%{sec}t", "epoch", re.compile(r"\d{9,11}")),
    "msec": Field("%{msec}t", "epoch", re.compile(r"\d{12,14}")),
    "usec": Field("%{usec}t", "epoch", re.compile(r"\d{15,17}")),
    "msec_frac": Field("%{msec_frac}t", "fraction", re.compile(r"\d{3}")),
    "usec_frac": Field("%{usec_frac}t", "fraction", re.compile(r"\d{6}")),
    "%s": Field("%{%s}t", "epoch", re.compile(r"\d{9,11}")),
    "%z": Field("%{%z}t", "offset", re.compile(r"[+-]\d{4}")),
}
_WHOLE = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "R": "%H:%M", "h": "%b"}
_PATTERNS = {
    "Y": r"\d{4}",
    "z": r"[+-]\d{4}",
    "b": r"[A-Z][a-z]{2}",
    "B": r"[A-Z][a-z]{2,8}",
    "a": r"[A-Z][a-z]{2}",
    "A": r"[A-Z][a-z]{2,8}",
    "p": r"[AP]M",
    "e": r"[ \d]\d",
    "j": r"\d{3}",
    **dict.fromkeys("ymdHIMS", r"\d\d"),
}
_DIRECTIVE = re.compile(r"%([A-Za-z%])")


def compile_time(argument: str) -> Field:
    """Return the field of `%{argument}t`; its name is the format for `strptime`; raise LayoutError."""
    form = argument.removeprefix("begin:").removeprefix("end:")
    if not form:
        return Field("%t", "clf", fields.BRACKETED_CLF)
    if form in _OWN:
        return _OWN[form]
    form = _DIRECTIVE.sub(lambda match: _WHOLE.get(match[1], match[0]), form)
    pattern, position = "", 0
    for match in _DIRECTIVE.finditer(form):
        if match[1] not in _PATTERNS:
            raise LayoutError(f"%{{{argument}}}t: %{match[1]} is not understood")
        pattern += re.escape(form[position : match.start()]) + _PATTERNS[match[1]]
        position = match.end()
    pattern += re.escape(form[position:])
    return Field(form.replace("%e", "%d"), "strftime", re.compile(pattern))
