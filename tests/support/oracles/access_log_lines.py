"""Requests, and how the servers whose logs are imported would write them down."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")
STATUSES = (200, 200, 200, 201, 204, 301, 400, 403, 404, 404, 500, 503)


@dataclass(frozen=True)
class Request:
    """A request as it was; times are whole milliseconds, which every format can write."""

    time_ms: int
    method: str
    path: str
    query: str
    status: int
    size: int
    duration_ms: int

    @property
    def target(self):
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def line(self):
        return f"{self.method} {self.target} HTTP/1.1"

    def stamp(self, form):
        return time.strftime(form, time.gmtime(self.time_ms // 1000))

    @property
    def clf(self):
        return self.stamp("%d/%b/%Y:%H:%M:%S +0000")

    @property
    def iso(self):
        return f"{self.stamp('%Y-%m-%dT%H:%M:%S')}.{self.time_ms % 1000:03}Z"

    @property
    def seconds(self):
        return f"{self.duration_ms / 1000:.3f}"

    @property
    def combined(self):
        return f'203.0.113.9 - - [{self.clf}] "{self.line}" {self.status} {self.size} "-" "curl/8 \\"x\\""'


def make_requests(count, *, seed, start_s):
    """Return requests of some hours, whose routes all answer at least twice."""
    chance = random.Random(seed)
    return [
        Request(
            time_ms=start_s * 1000 + number * 40_000 + chance.randrange(1000),
            method=chance.choice(METHODS),
            path=f"/{chance.choice(('orders', 'items'))}/{chance.randrange(10_000)}",
            query=chance.choice(("", "", "page=2&q=x")),
            status=chance.choice(STATUSES),
            size=chance.randrange(100_000),
            duration_ms=int(chance.expovariate(1 / 200)),
        )
        for number in range(count)
    ]


def haproxy(request):
    stamp = request.stamp("%d/%b/%Y:%H:%M:%S")
    return (
        f"10.0.1.2:33317 [{stamp}.{request.time_ms % 1000:03}] http-in static/srv1"
        f" 0/0/1/1/{request.duration_ms} {request.status} {request.size} - - ---- 1/1/1/1/0 0/0 {{x}} {{}}"
        f' "{request.line}"'
    )


def alb(request):
    return (
        f"https {request.iso} app/shop/50dc 192.168.131.39:2817 10.0.0.1:80 0.000 {request.seconds} 0.000"
        f" {request.status} {request.status} 34 {request.size} "
        f'"{request.method} https://shop.example:443{request.target} HTTP/1.1" "curl/8" - - arn:x "Root=1" "-" "-" 0'
        f' {request.iso} "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
    )


def envoy(request):
    return (
        f'[{request.iso}] "{request.line}" {request.status} - 5 {request.size} {request.duration_ms} 1 "-" "curl/8"'
        ' "cc21d9b0" "shop" "tcp://10.0.2.1:80"'
    )


def iis(request):
    return (
        f"{request.stamp('%Y-%m-%d %H:%M:%S')} {request.method} {request.path} {request.query or '-'}"
        f" {request.status} {request.size} {request.duration_ms}"
    )


def traefik_json(request):
    return json.dumps(
        {
            "DownstreamStatus": request.status,
            "DownstreamContentSize": request.size,
            "Duration": request.duration_ms * 1_000_000,
            "RequestMethod": request.method,
            "RequestPath": request.target,
            "StartUTC": request.iso,
        }
    )


def nginx_json(request):
    return json.dumps(
        {
            "time_iso8601": request.stamp("%Y-%m-%dT%H:%M:%S+00:00"),
            "request": request.line,
            "status": str(request.status),
            "body_bytes_sent": str(request.size),
            "request_time": request.seconds,
        }
    )


def caddy(duration):
    def render(request):
        return json.dumps(
            {
                "ts": (request.time_ms + request.duration_ms) / 1000,
                "request": {"method": request.method, "uri": request.target, "remote_ip": "203.0.113.9"},
                "status": request.status,
                "size": request.size,
                "duration": duration(request.duration_ms),
            }
        )

    return render


def docker(request):
    return json.dumps({"log": f"{request.combined} rt={request.seconds}\n", "stream": "stdout", "time": request.iso})


def uwsgi(request):
    return (
        f"[pid: 12|app: 0|req: 1/1] 127.0.0.1 () {{40 vars in 600 bytes}} [{request.stamp('%a %b %d %H:%M:%S %Y')}]"
        f" {request.method} {request.target} => generated {request.size} bytes in {request.duration_ms} msecs"
        f" (HTTP/1.1 {request.status}) 2 headers in 79 bytes (1 switches on core 0)"
    )


NGINX_LAYOUT = '$remote_addr [$time_local] "$request" $status $body_bytes_sent $upstream_response_time $request_time'
APACHE_LAYOUT = 'LogFormat "%v %h %{sec}t \\"%r\\" %>s %B %{ms}T" timed'
GUNICORN_LAYOUT = '%(h)s %(t)s "%(r)s" %(s)s %(B)s %(D)s'
IIS_HEAD = (
    "#Software: Microsoft Internet Information Services 10.0\n"
    "#Fields: date time cs-method cs-uri-stem cs-uri-query sc-status sc-bytes time-taken\n"
)

WITH_DURATION = {
    "combined": ((), lambda request: f"{request.combined} rt={request.seconds}"),
    "combined with a unit": ((), lambda request: f"{request.combined} {request.duration_ms}ms"),
    "combined-s": (("--format", "combined-s"), lambda request: f"{request.combined} {request.seconds}"),
    "combined-us": (("--format", "combined-us"), lambda request: f"{request.combined} {request.duration_ms * 1000}"),
    "nginx's layout": (
        ("--log-format", NGINX_LAYOUT),
        lambda request: (
            f'203.0.113.9 [{request.clf}] "{request.line}" {request.status} {request.size} 9.000, 8.000'
            f" {request.seconds}"
        ),
    ),
    "Apache's layout": (
        ("--log-format", APACHE_LAYOUT),
        lambda request: (
            f'shop 203.0.113.9 {request.time_ms // 1000} "{request.line}" {request.status} {request.size}'
            f" {request.duration_ms}"
        ),
    ),
    "gunicorn's layout": (
        ("--log-format", GUNICORN_LAYOUT),
        lambda request: (
            f'203.0.113.9 [{request.clf}] "{request.line}" {request.status} {request.size}'
            f" {request.duration_ms * 1000}"
        ),
    ),
    "nginx-json": ((), nginx_json),
    "traefik": (
        (),
        lambda request: f'{request.combined} 5 "shop@docker" "http://10.0.0.3:80" {request.duration_ms}ms',
    ),
    "traefik-json": ((), traefik_json),
    "ingress-nginx": (
        (),
        lambda request: f"{request.combined} 423 {request.seconds} [app-80] [] 10.0.0.3:80 5 9.000 200 8f9c",
    ),
    "alb": ((), alb),
    "envoy": ((), envoy),
    "haproxy": ((), lambda request: f"Feb  6 12:14:14 lb haproxy[14389]: {haproxy(request)}"),
    "iis": ((), iis),
    "uwsgi": ((), uwsgi),
    "caddy": ((), caddy(lambda ms: ms / 1000 + 1e-12)),
    "caddy in text": ((), caddy(lambda ms: f"{ms}ms")),
    "caddy-ns": (("--format", "caddy-ns"), caddy(lambda ms: ms * 1_000_000)),
    "docker": ((), docker),
    "syslog": ((), lambda request: f"<190>1 {request.iso} web nginx - - - {request.combined} rt={request.seconds}"),
}
WITHOUT_DURATION = {
    "gunicorn": ((), lambda request: request.combined),
    "hypercorn": ((), lambda request: request.combined.replace("HTTP/1.1", "1.1")),
    "runserver": (
        (),
        lambda request: f'[{request.stamp("%d/%b/%Y %H:%M:%S")}] "{request.line}" {request.status} {request.size}',
    ),
}
WITHOUT_SIZE = {
    "uvicorn": (
        (),
        lambda request: f'{request.iso} INFO:     203.0.113.9:5 - "{request.line}" {request.status} OK',
    )
}
