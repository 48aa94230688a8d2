"""--log-format: the formats that users configure in nginx, Apache and gunicorn, and their lines."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from apimetry.cli.access_logs.layouts.template import LayoutError
from apimetry.cli.access_logs.lines import BadLine
from apimetry.cli.access_logs.reading import open_layout

LATEST = datetime(2026, 11, 26, 15, 0, tzinfo=timezone.utc)
TIME_US = 1_413_295_200_000_000
HEAD = '203.0.113.9 - alice [14/Oct/2014:16:00:00 +0200] "GET /v1/7?key=x HTTP/1.1" 200 2326'
COMBINED = f'{HEAD} "https://example.org/" "Mozilla/5.0 \\"q\\""'
TIME = "[14/Oct/2014:16:00:00 +0200]"
NGINX_COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
APACHE_COMBINED = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"'

NGINX = [
    (NGINX_COMBINED, COMBINED, {"time_us": TIME_US, "target": "/v1/7?key=x", "response_us": None, "user": "alice"}),
    (f"{NGINX_COMBINED} $request_time", f"{COMBINED} 0.012", {"response_us": 12_000}),
    (f"{NGINX_COMBINED} $request_time", f"{COMBINED} -", {"response_us": None}),
    (
        f'{NGINX_COMBINED} "$http_x_forwarded_for" rt=$request_time uct="$upstream_connect_time"',
        f'{COMBINED} "10.0.0.1, 10.0.0.2" rt=0.012 uct="0.000"',
        {"response_us": 12_000, "duration": "$request_time (seconds)", "address": "203.0.113.9"},
    ),
    (
        f"{NGINX_COMBINED} $upstream_addr $upstream_response_time $upstream_status $pipe",
        f"{COMBINED} 10.0.0.1:80, 10.0.0.2:80 0.005, 0.007 502, 200 .",
        {"response_us": 12_000, "duration": "$upstream_response_time (seconds, of all upstreams together)"},
    ),
    (
        f"{NGINX_COMBINED} $upstream_response_time $request_time",
        f"{COMBINED} 0.001 : 0.002 0.012",
        {"response_us": 12_000},
    ),
    (f"{NGINX_COMBINED} $upstream_response_time", f"{COMBINED} -", {"response_us": None, "duration": ""}),
    (f"{NGINX_COMBINED} $connection $msec", f"{COMBINED} 77 1413295200.123", {"time_us": TIME_US + 123_000}),
    (
        (
            "log_format  main  '$remote_addr - $remote_user [$time_local] \"$request\" '\n"
            "                  '$status $body_bytes_sent \"$http_referer\" '\n"
            '                  \'"$http_user_agent" "$http_x_forwarded_for"\';'
        ),
        f'{COMBINED} "-"',
        {"status": 200, "user_agent": 'Mozilla/5.0 "q"'},
    ),
    (
        (
            'log_format json escape=json \'{"time":"$time_iso8601","request":"$request","status":$status,\'\n'
            '\'"bytes":$bytes_sent,"rt":$request_time,"ua":"$http_user_agent","id":"$request_id"}\';'
        ),
        (
            '{"time":"2014-10-14T16:00:00+02:00","request":"GET /a\\"b HTTP/1.1","status":200,"bytes":12,"rt":0.003,'
            '"ua":"a \\\\ b","id":"77"}'
        ),
        {"time_us": TIME_US, "target": '/a"b', "response_us": 3000, "user_agent": "a \\ b", "response_bytes": 12},
    ),
    (
        "escape=none $time_iso8601|$remote_addr|$request|$status|$http_user_agent|$request_time",
        '2014-10-14T16:00:00+02:00|203.0.113.9|GET /a b HTTP/1.1|200|a "b"|0.500',
        {"target": "/a b", "response_us": 500_000, "user_agent": 'a "b"'},
    ),
    (
        "$time_iso8601 $host $request_method $scheme://$host$request_uri $status ${request_time}s",
        "2014-10-14T16:00:00+02:00 shop.example GET https://shop.example/a?b=c 200 0.012s",
        {"method": "GET", "target": "/a?b=c", "response_us": 12_000},
    ),
    (
        '$msec "$request_method $uri$is_args$args $server_protocol" $status $request_length',
        '1413295200.123 "GET /a?b=c HTTP/2.0" 204 512',
        {"target": "/a?b=c", "request_bytes": 512, "status": 204},
    ),
    (
        "$remote_addr $time_local $request $status",
        "203.0.113.9 14/Oct/2014:16:00:00 +0200 GET /a b HTTP/1.1 200",
        None,
    ),
    (
        "$remote_addr $time_local $request $status",
        "203.0.113.9 14/Oct/2014:16:00:00 +0200 GET /a HTTP/1.1 200",
        {"target": "/a", "time_us": TIME_US},
    ),
    ("$remote_addr\t[$time_local]\t$request\t$status", "::1\t[14/Oct/2014:16:00:00 +0200]\t-\t400", {"method": ""}),
    (NGINX_COMBINED, COMBINED.replace("GET /v1/7?key=x HTTP/1.1", "\\x16\\x03"), {"method": "", "target": ""}),
    (NGINX_COMBINED, COMBINED.replace("alice", "john doe"), {"user": "john doe"}),
    (
        "$remote_addr:$remote_port [$time_local] $request_uri $status",
        f"2001:db8::1:443 {TIME} /a 200",
        {"address": "2001:db8::1", "target": "/a"},
    ),
    (
        "$msec,$remote_addr,$request_method,$request_uri,$status,$upstream_response_time,$request_time",
        "1413295200.123,1.2.3.4,GET,/a,200,0.001,0.012",
        {"address": "1.2.3.4", "response_us": 12_000},
    ),
]
APACHE = [
    ('%h %l %u %t \\"%r\\" %>s %b', HEAD, {"time_us": TIME_US, "response_bytes": 2326}),
    (f"{APACHE_COMBINED} %D", f"{COMBINED} 12345", {"response_us": 12_345, "duration": "%D (microseconds)"}),
    (f"{APACHE_COMBINED} %T", f"{COMBINED} 3", {"response_us": 3_000_000}),
    (f"{APACHE_COMBINED} %{{ms}}T", f"{COMBINED} 15", {"response_us": 15_000}),
    (f"{APACHE_COMBINED} %{{us}}T", f"{COMBINED} 15", {"response_us": 15}),
    (f"{APACHE_COMBINED} %T/%D", f"{COMBINED} 0/12345", {"response_us": 12_345, "duration": "%D (microseconds)"}),
    (
        'LogFormat "%v:%p %h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\"" vhost_combined',
        f"shop.example:443 {COMBINED}",
        {"response_bytes": 2326, "address": "203.0.113.9"},
    ),
    (
        'LogFormat "%{X-Forwarded-For}i %l %u %t \\"%r\\" %>s %b" proxied',
        HEAD.replace("203.0.113.9", "203.0.113.9, 10.0.0.1"),
        {"address": "203.0.113.9", "user": "alice"},
    ),
    (
        '%a [%{%Y-%m-%dT%H:%M:%S}t.%{msec_frac}t %{%z}t] "%m %U%q %H" %>s %I %O %{us}T',
        '1.2.3.4 [2014-10-14T16:00:00.123 +0200] "GET /a?b HTTP/1.1" 200 99 5 77',
        {"time_us": TIME_US + 123_000, "target": "/a?b", "request_bytes": 99, "response_us": 77},
    ),
    ("%h %{sec}t %>s %r", "1.2.3.4 1413295200 200 GET /a HTTP/1.1", {"time_us": TIME_US, "target": "/a"}),
    ('%{usec}t %<s "%r" %X %k', '1413295200000001 200 "GET /a HTTP/1.1" + 0', {"time_us": TIME_US + 1}),
    ('%{begin:%d/%b/%Y %T}t %s "%r"', '14/Oct/2014 14:00:00 200 "GET /a HTTP/1.1"', {"time_us": TIME_US}),
    (f"{APACHE_COMBINED} %400,501{{X-Id}}i %!200{{Y}}o %{{UNIQUE_ID}}e", f"{COMBINED} - - Yx@1", {"status": 200}),
    ('%h %t "%r" %>s 100%% %D', '1.2.3.4 [14/Oct/2014:16:00:00 +0200] "-" 408 100% 7', {"method": "", "status": 408}),
    (
        (
            'LogFormat "{ \\"time\\":\\"%{%Y-%m-%dT%T%z}t\\", \\"request\\":\\"%r\\", \\"status\\":%>s,'
            ' \\"us\\":%D }" json'
        ),
        '{ "time":"2014-10-14T16:00:00+0200", "request":"GET /a\\"b HTTP/1.1", "status":200, "us":7 }',
        {"time_us": TIME_US, "target": '/a"b', "response_us": 7},
    ),
    (
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s',
        f"{COMBINED} 12345",
        {"response_us": 12_345, "user_agent": 'Mozilla/5.0 "q"', "address": "203.0.113.9"},
    ),
    ('%(h)s %(t)s "%(r)s" %(s)s %(M)s', f'1.2.3.4 {TIME} "GET / HTTP/1.1" 200 12', {"response_us": 12_000}),
    ('%(t)s "%(r)s" %(s)s %(L)s %({x-id}i)s', f'{TIME} "GET / HTTP/1.1" 200 0.012345 -', {"response_us": 12_345}),
    ("%(t)s %(m)s %(Uq)s %(s)s %(B)s", f"{TIME} GET /a?b 200 5", {"target": "/a?b", "response_bytes": 5}),
]


@pytest.mark.parametrize(("layout", "line", "expected"), NGINX + APACHE)
def test_a_configured_format_reads_its_lines(layout, line, expected):
    reader = open_layout(layout, LATEST)
    if expected is None:
        with pytest.raises(BadLine):
            reader.read(line)
    else:
        read = reader.read(line)
        assert {name: getattr(read, name) for name in expected} == expected


@pytest.mark.parametrize(
    "line",
    [HEAD, f"{COMBINED} 12", "", COMBINED[:-1], COMBINED.replace(" 200 ", " x "), COMBINED.replace("Oct", "1")],
)
def test_a_line_that_does_not_match_is_unreadable(line):
    with pytest.raises(BadLine):
        open_layout(NGINX_COMBINED, LATEST).read(line)


def test_the_envelope_of_a_line_of_a_configured_format_is_removed():
    reader = open_layout(NGINX_COMBINED, LATEST)
    assert reader.read(f"<190>Nov 26 14:43:04 web nginx: {COMBINED}") == reader.read(COMBINED)
    stamped = open_layout("$time_iso8601 $remote_addr $request_uri $status", LATEST)
    assert stamped.read("2014-10-14T16:00:00+02:00 203.0.113.9 /a 200").time_us == TIME_US


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("", "neither nginx's variables"),
        ("hello", "neither nginx's variables"),
        ("$remote_addr $request", "has no status"),
        ("$status $remote_addr", "has no request"),
        ("$http_a$http_b $status $request", "nothing stands between"),
        ("log_format x escape=xml '$status $request'", "escape= is one of"),
        ("log_format x '$status $request", "quotes do not match"),
        ("%h %>s %r %Y", "no directive of Apache's"),
        ("%h %>s %r %{minutes}T", "the unit is one of"),
        ("%{%Q}t %>s %r", "%Q is not understood"),
        ("%>s %r %", "a % that is no directive"),
        ("LogFormat %h", "a string in quotes"),
    ],
)
def test_the_error_of_an_invalid_format_has_a_reason(layout, reason):
    with pytest.raises(LayoutError, match=reason):
        open_layout(layout, LATEST)
