r"""Compile Apache's `LogFormat`: the directive of the configuration, or its string alone. Pure.

The `access_log_format` of gunicorn and Hypercorn has the same fields, written as `%(h)s`, and is compiled too. In
values, quotes and backslashes have a backslash before them, other bytes are `\xHH`.
Source: "Custom Log Formats" of mod_log_config, mod_logio; gunicorn's setting `access_log_format`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from apimetry.cli.access_logs.layouts import fields
from apimetry.cli.access_logs.layouts.strftime import compile_time
from apimetry.cli.access_logs.layouts.template import Field, LayoutError, Part, Template, check_template
from apimetry.cli.access_logs.requests import unescape

_DIRECTIVE = re.compile(r"\A\s*(?:LogFormat|CustomLog\s+\S+)\s+", re.IGNORECASE)
_STRING = re.compile(r"\"(?P<text>(?:[^\"\\]|\\.)*)\"", re.DOTALL)
_BACKSLASH = re.compile(r"\\([\"\\tn])")
_CONTROLS = {"t": "\t", "n": "\n"}
_FIELD = re.compile(
    r"%(?:%|(?:(?:!?\d{3}(?:,\d{3}){0,16})|[<>]){0,2}(?:\{(?P<argument>[^}]{0,128})\})?(?P<letter>\^(?:FB|ti|to)|[A-Za-z]))"
)
_GUNICORN = re.compile(r"%\((?P<name>\{[^}]{1,128}\}[ieo]|[A-Za-z]{1,2})\)s")
# Fields with another name than in Apache: user agent, referrer, milliseconds, decimal seconds, request and path with
# their query, scheme, status in words, process.
_GUNICORN_NAMES = {
    "a": "%{User-Agent}i",
    "f": "%{Referer}i",
    "M": "%{ms}T",
    "L": "%T",
    "R": "%r",
    "Uq": "%{Uq}x",
    "S": "%{scheme}x",
    "st": "%{phrase}x",
    "p": "%{process}x",
}

_MEANINGS = {
    "t": Field("", "clf", fields.BRACKETED_CLF),
    "r": Field("", "request", unquoted=fields.REQUEST),
    "m": Field("", "method", adjacent=fields.WORD),
    "U": Field("", "path", adjacent=fields.PATH),
    "q": Field("", "query", adjacent=fields.WORD),
    "s": Field("", "status", fields.STATUS),
    "B": Field("", "body_bytes", fields.NUMBER),
    "b": Field("", "body_bytes", fields.NUMBER),
    "O": Field("", "sent_bytes", fields.NUMBER),
    "I": Field("", "request_length", fields.NUMBER),
    "S": Field("", "", fields.NUMBER),
    "D": Field("", "time_us", fields.NUMBER),
    "T": Field("", "time_s", fields.NUMBER),
    "h": Field("", "address", fields.ADDRESS),
    "a": Field("", "address", fields.ADDRESS),
    "u": Field("", "user"),
    "v": Field("", "", adjacent=fields.HOST),
    "V": Field("", "", adjacent=fields.HOST),
    "p": Field("", "", fields.NUMBER),
    "k": Field("", "", fields.NUMBER),
    "X": Field("", "", re.compile(r"[X+-]")),
}
_OTHERS = frozenset("ACefHiLlnoPRxcE")
_UNITS = {"s": "time_s", "ms": "time_ms", "us": "time_us"}
_HEADERS = {
    "user-agent": Field("", "agent"),
    "x-forwarded-for": Field("", "forwarded", unquoted=fields.LIST),
    "x-real-ip": Field("", "forwarded"),
    "content-length": Field("", "content_length", fields.NUMBER),
}


def compile_apache(text: str) -> Template:
    """Return the template of a `LogFormat`; raise LayoutError."""
    layout = _GUNICORN.sub(_from_gunicorn, _read_directive(text))
    parts: list[Part] = []
    position = 0
    for match in _FIELD.finditer(layout):
        _add_text(parts, layout[position : match.start()])
        if match["letter"] is None:
            _add_text(parts, "%")
        else:
            parts.append(_field(match[0], match["letter"], match["argument"]))
        position = match.end()
    _add_text(parts, layout[position:].rstrip())
    return check_template(Template(parts, unescape))


def is_gunicorn(text: str) -> bool:
    """Return whether a format has fields in the form `%(h)s`."""
    return _GUNICORN.search(text) is not None


def _add_text(parts: list[Part], text: str) -> None:
    if "%" in text.replace("%%", "") and text != "%":
        raise LayoutError("it has a % that is no directive of Apache's")
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    elif text:
        parts.append(text)


def _field(name: str, letter: str, argument: str | None) -> Field:
    if argument is not None and letter in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[letter](name, argument)
    if letter in _MEANINGS:
        return replace(_MEANINGS[letter], name=name)
    if letter in _OTHERS or letter.startswith("^"):
        return Field(name)
    raise LayoutError(f"{name} is no directive of Apache's")


def _sent_header(name: str, argument: str) -> Field:
    return Field(name, "body_bytes", fields.NUMBER) if argument.lower() == "content-length" else Field(name)


def _duration(name: str, argument: str) -> Field:
    if argument not in _UNITS:
        raise LayoutError(f"{name}: the unit is one of s, ms and us")
    return Field(name, _UNITS[argument], fields.NUMBER)


_WITH_ARGUMENT: dict[str, Callable[[str, str], Field]] = {
    "t": lambda _, argument: compile_time(argument),
    "x": lambda name, argument: Field(name, "target" if argument == "Uq" else "", adjacent=fields.WORD),
    "i": lambda name, argument: replace(_HEADERS.get(argument.lower(), Field("")), name=name),
    "o": _sent_header,
    "T": _duration,
}


def _from_gunicorn(match: re.Match[str]) -> str:
    name = match["name"]
    return _GUNICORN_NAMES.get(name) or f"%{name}"


def _read_directive(text: str) -> str:
    match = _DIRECTIVE.match(text)
    if match is not None:
        string = _STRING.match(text, match.end())
        if string is None:
            raise LayoutError("LogFormat is followed by a string in quotes")
        text = string["text"]
    elif r"\"" not in text:
        return text.strip("\r\n")
    elif (string := _STRING.fullmatch(text.strip())) is not None:
        text = string["text"]
    return _BACKSLASH.sub(lambda escape: _CONTROLS.get(escape[1], escape[1]), text)
