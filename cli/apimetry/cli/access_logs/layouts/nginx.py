r"""Compile nginx's `log_format`: the directive of the configuration, or its string alone. Pure.

Source: ngx_http_log_module and the index of variables in nginx's documentation. With the default escaping an empty
variable is `-`, and quotes, backslashes and bytes outside of ASCII are `\xHH`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from apimetry.cli.access_logs.layouts import fields
from apimetry.cli.access_logs.layouts.template import Field, LayoutError, Part, Template, check_template
from apimetry.cli.access_logs.requests import unescape

_DIRECTIVE = re.compile(r"\A\s*log_format\s+\S+\s+(?:escape=(?P<escape>\w+)\s+)?", re.ASCII)
_ESCAPE_ALONE = re.compile(r"\A\s*escape=(?P<escape>\w+)\s+", re.ASCII)
_STRING = re.compile(r"\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\")", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))", re.ASCII)
_BACKSLASH = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}

_MEANINGS = {
    "time_local": Field("", "clf", fields.CLF),
    "time_iso8601": Field("", "iso", fields.ISO),
    "msec": Field("", "epoch", fields.MSEC),
    "request": Field("", "request", unquoted=fields.REQUEST),
    "request_method": Field("", "method", adjacent=fields.WORD),
    "request_uri": Field("", "target", adjacent=fields.WORD),
    "uri": Field("", "path", adjacent=fields.PATH),
    "document_uri": Field("", "path", adjacent=fields.PATH),
    "is_args": Field("", "", fields.QUESTION_MARK),
    "args": Field("", "query", adjacent=fields.WORD),
    "query_string": Field("", "query", adjacent=fields.WORD),
    "status": Field("", "status", fields.STATUS),
    "body_bytes_sent": Field("", "body_bytes", fields.NUMBER),
    "bytes_sent": Field("", "sent_bytes", fields.NUMBER),
    "request_length": Field("", "request_length", fields.NUMBER),
    "content_length": Field("", "content_length", fields.NUMBER),
    "http_content_length": Field("", "content_length", fields.NUMBER),
    "request_time": Field("", "time_s", fields.NUMBER),
    "upstream_response_time": Field("", "upstream_s", fields.TIMES),
    "upstream_connect_time": Field("", "", fields.TIMES),
    "upstream_header_time": Field("", "", fields.TIMES),
    "upstream_addr": Field("", "", unquoted=fields.LIST),
    "upstream_status": Field("", "", unquoted=fields.LIST),
    "upstream_response_length": Field("", "", unquoted=fields.LIST),
    "upstream_bytes_received": Field("", "", unquoted=fields.LIST),
    "upstream_bytes_sent": Field("", "", unquoted=fields.LIST),
    "upstream_cache_status": Field("", "", unquoted=fields.LIST),
    "http_x_forwarded_for": Field("", "forwarded", unquoted=fields.LIST),
    "proxy_add_x_forwarded_for": Field("", "forwarded", unquoted=fields.LIST),
    "remote_addr": Field("", "address", fields.ADDRESS),
    "proxy_protocol_addr": Field("", "forwarded"),
    "http_x_real_ip": Field("", "forwarded"),
    "remote_user": Field("", "user"),
    "http_user_agent": Field("", "agent"),
    "scheme": Field("", "", adjacent=fields.SCHEME),
    "host": Field("", "", adjacent=fields.HOST),
    "http_host": Field("", "", adjacent=fields.HOST),
    "server_name": Field("", "", adjacent=fields.HOST),
    "server_port": Field("", "", fields.NUMBER),
    "remote_port": Field("", "", fields.NUMBER),
    "connection": Field("", "", fields.NUMBER),
    "connection_requests": Field("", "", fields.NUMBER),
    "pipe": Field("", "", re.compile(r"[p.]")),
    "gzip_ratio": Field("", "", fields.NUMBER),
}


def compile_nginx(text: str) -> Template:
    """Return the template of a `log_format`; raise LayoutError."""
    layout, escape = _read_directive(text)
    parts: list[Part] = []
    position = 0
    for match in _VARIABLE.finditer(layout):
        if match.start() > position:
            parts.append(layout[position : match.start()])
        parts.append(_field(match["braced"] or match["plain"]))
        position = match.end()
    if position < len(layout):
        parts.append(layout[position:])
    if isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    unescaping = (lambda value: value) if escape == "none" else unescape
    return check_template(
        Template([part for part in parts if part != ""], unescaping, escapes_quotes=escape != "none")
    )


def _field(name: str) -> Field:
    field = _MEANINGS.get(name)
    if field is None:
        return Field(f"${name}", unquoted=fields.LIST if name.startswith("upstream_") else None)
    return replace(field, name=f"${name}")


def _read_directive(text: str) -> tuple[str, str]:
    match = _DIRECTIVE.match(text) or _ESCAPE_ALONE.match(text)
    escape = (match["escape"] if match else None) or "default"
    if escape not in {"default", "json", "none"}:
        raise LayoutError("escape= is one of default, json and none")
    rest = text[match.end() :] if match else text
    if match is None and not rest.lstrip().startswith("'"):
        return rest.strip("\r\n"), escape
    strings = []
    position = 0
    while string := _STRING.match(rest, position):
        quoted = string["single"] if string["single"] is not None else string["double"]
        strings.append(_BACKSLASH.sub(_replace, quoted))
        position = string.end()
    if rest[position:].strip(" \t\r\n;"):
        if match is None or strings or rest.lstrip().startswith(("'", '"')):
            raise LayoutError("its quotes do not match")
        # The shell has removed the quotes of the string.
        return rest.strip().removesuffix(";"), escape
    return "".join(strings), escape


def _replace(match: re.Match[str]) -> str:
    """Remove a backslash as nginx does: before a quote, a backslash and three letters. Elsewhere it stays."""
    code = match[1]
    return code if code in "\"'\\" else _CONTROLS.get(code, match[0])
