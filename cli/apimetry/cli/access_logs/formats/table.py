"""The table of formats, in the order of the detection: the most specific format is first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from apimetry.cli.access_logs.formats.alb import alb
from apimetry.cli.access_logs.formats.caddy import caddy, caddy_ms, caddy_ns
from apimetry.cli.access_logs.formats.combined import combined, combined_ms, combined_s, combined_us
from apimetry.cli.access_logs.formats.envoy import envoy
from apimetry.cli.access_logs.formats.granian import granian
from apimetry.cli.access_logs.formats.haproxy import haproxy
from apimetry.cli.access_logs.formats.hypercorn import hypercorn
from apimetry.cli.access_logs.formats.ingress_nginx import ingress_nginx
from apimetry.cli.access_logs.formats.nginx_json import nginx_json
from apimetry.cli.access_logs.formats.runserver import runserver
from apimetry.cli.access_logs.formats.traefik import traefik, traefik_json
from apimetry.cli.access_logs.formats.uvicorn import uvicorn
from apimetry.cli.access_logs.formats.uwsgi import uwsgi
from apimetry.cli.access_logs.formats.w3c import W3C
from apimetry.cli.access_logs.lines import Parser


@dataclass(frozen=True, slots=True)
class Format:
    """One format of access logs."""

    name: str
    open: Callable[[tzinfo], Parser]
    """Return a parser for one file; times without a zone are in the zone."""
    is_automatic: bool = True
    """Whether the detection tries the format."""
    is_bare: bool = False
    """Whether the begin of its lines looks like an envelope."""
    fallback: str = ""
    """The format that reads the lines that this one cannot read; empty for none."""


def _same(parser: Parser) -> Callable[[tzinfo], Parser]:
    return lambda _: parser


FORMATS = {
    format_.name: format_
    for format_ in (
        Format("traefik-json", _same(traefik_json)),
        Format("caddy", _same(caddy)),
        Format("nginx-json", nginx_json),
        Format("traefik", _same(traefik), fallback="combined"),
        Format("ingress-nginx", _same(ingress_nginx), fallback="combined"),
        Format("alb", _same(alb)),
        Format("envoy", _same(envoy)),
        Format("haproxy", haproxy),
        Format("iis", lambda _: W3C(), is_bare=True),
        Format("uwsgi", uwsgi),
        Format("granian", _same(granian)),
        Format("hypercorn", _same(hypercorn), fallback="combined"),
        Format("combined", _same(combined)),
        Format("runserver", runserver),
        Format("uvicorn", uvicorn),
        Format("gunicorn", _same(combined), is_automatic=False),
        Format("combined-s", _same(combined_s), is_automatic=False),
        Format("combined-ms", _same(combined_ms), is_automatic=False),
        Format("combined-us", _same(combined_us), is_automatic=False),
        Format("caddy-ms", _same(caddy_ms), is_automatic=False),
        Format("caddy-ns", _same(caddy_ns), is_automatic=False),
    )
}
