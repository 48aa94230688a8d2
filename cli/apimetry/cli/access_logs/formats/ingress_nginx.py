"""Parse the default format of ingress-nginx. Pure.

Source: "Log format" in the user guide of ingress-nginx. Before 0.30 the second word was the client's address in
brackets.
"""

from __future__ import annotations

from datetime import timezone

from apimetry.cli.access_logs.layouts.fields import parser_of
from apimetry.cli.access_logs.layouts.nginx import compile_nginx
from apimetry.cli.access_logs.lines import BadLine, LogLine

_HEAD = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
    " $request_length $request_time [$proxy_upstream_name]"
)
_TAIL = "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status"
_LAYOUTS = tuple(
    parser_of(compile_nginx(layout), timezone.utc)
    for layout in (
        f"{_HEAD} [$proxy_alternative_upstream_name] {_TAIL} $req_id",
        f"{_HEAD} {_TAIL} $req_id",
        f"{_HEAD} {_TAIL}",
    )
)


def ingress_nginx(text: str) -> LogLine | None:
    """Parse a line of ingress-nginx; raise BadLine."""
    for parse in _LAYOUTS:
        try:
            return parse(text)
        except BadLine:
            continue
    raise BadLine("it is not in the default format of ingress-nginx")
