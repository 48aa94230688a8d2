"""Lines of every format as real configurations write them, and the requests that they are."""

from __future__ import annotations

from datetime import timezone

UTC = timezone.utc
TIME_US = 1_413_295_200_000_000
REQUEST = '"GET /v1/scores/7?key=secret HTTP/1.1"'
HEAD = f"203.0.113.9 - alice [14/Oct/2014:16:00:00 +0200] {REQUEST} 200 2326"
COMBINED = f'{HEAD} "https://example.org/" "Mozilla/5.0 (X11) \\"quoted\\""'
TRAEFIK = '{} 5 "shop@docker" "http://10.0.0.3:80" 22ms'
INGRESS = "{} 423 0.056 [default-app-80] [] 10.0.0.3:8080 2326 0.055 200 8f9c7ad2"
ALB = (
    "https 2018-07-02T22:23:00.186641Z app/shop/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037"
    ' 200 200 34 366 "GET https://www.example.com:443/a?b=c HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256'
    ' TLSv1.2 arn:aws:elasticloadbalancing:eu:1:targetgroup/x/73e2 "Root=1-58337281-1d84" "www.example.com"'
    ' "arn:aws:acm:eu:1:certificate/1" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-"'
    ' "10.0.0.1:80" "200" "-" "-" TID_dc57cebed65b444ebc8177bb698fe166'
)
HAPROXY = (
    "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/{} {} 2750 - - ---- 1/1/1/1/0 0/0"
    ' {{1wt.eu}} {{}} "GET /index.html HTTP/1.1"'
)
ENVOY = (
    '[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" {} 154 0 226 100 "10.0.35.28, 10.0.0.1"'
    ' "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"'
)
ISTIO = (
    '[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 4 3 "-" "curl/7.73.0"'
    ' "84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "127.0.0.1:80" inbound|8000|| 127.0.0.1:41854'
    " 10.44.1.27:80 10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default"
)
CADDY = (
    '{"level":"info","ts":%s,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":'
    '"203.0.113.9","remote_port":"4","client_ip":"203.0.113.9","proto":"HTTP/2.0","method":"GET","host":"x",'
    '"uri":"/v1/scores/7?key=secret","headers":{"User-Agent":["curl/8"]}},"bytes_read":5,"user_id":"alice",'
    '"duration":%s,"size":2326,"status":200,"resp_headers":{}}'
)
TRAEFIK_JSON = (
    '{"ClientAddr":"10.0.0.1:5","ClientHost":"10.0.0.1","ClientUsername":"-","DownstreamContentSize":12,'
    '"DownstreamStatus":200,"Duration":1500000,"OriginDuration":1400000,"RequestContentSize":3,"RequestCount":9,'
    '"RequestMethod":"GET","RequestPath":"/a?b=c","StartLocal":"2014-10-14T16:00:00.5+02:00",'
    '"StartUTC":"2014-10-14T14:00:00.5Z","entryPointName":"web","level":"info","msg":"",'
    '"request_User-Agent":"curl/8","time":"2014-10-14T16:00:01+02:00"}'
)
IIS = (
    "#Software: Microsoft Internet Information Services 10.0",
    "#Version: 1.0",
    "#Date: 2014-10-14 14:00:00",
    (
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent)"
        " cs(Referer) sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken"
    ),
    "2014-10-14 14:00:00 10.0.0.5 GET /a/b b=c 443 DOMAIN\\jo 203.0.113.9 Mozilla/5.0+(Windows) - 200 0 0 512 77 41",
)
CLOUDFRONT = (
    "#Version: 1.0",
    (
        "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer)"
        " cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type time-taken"
    ),
    "\t".join(
        [
            "2014-10-14",
            "14:00:00",
            "FRA2",
            "512",
            "203.0.113.9",
            "GET",
            "d.cloudfront.net",
            "/a",
            "200",
            "-",
            "curl/8",
            "-",
            "-",
            "Hit",
            "0.041",
        ]
    ),
)
UWSGI = (
    "[pid: 12|app: 0|req: 1/1] 127.0.0.1 () {40 vars in 600 bytes} [Tue Oct 14 14:00:00 2014] GET /x?y=1 =>"
    " generated 12 bytes in 5 msecs (HTTP/1.1 200) 2 headers in 79 bytes (1 switches on core 0)"
)
CASES = [
    ("combined", HEAD, {"target": "/v1/scores/7?key=secret", "response_bytes": 2326, "user": "alice"}),
    ("combined", COMBINED, {"user_agent": 'Mozilla/5.0 (X11) "quoted"', "address": "203.0.113.9"}),
    ("combined", COMBINED.replace("2326", "-"), {"response_bytes": 0}),
    ("combined", COMBINED.replace("/7?", "/\\xc3\\xbc?"), {"target": "/v1/scores/ü?key=secret"}),
    ("combined", HEAD.replace("alice", "john doe"), {"user": "john doe", "address": "203.0.113.9"}),
    ("combined", HEAD.replace("alice", "a - b [x]"), {"user": "a - b [x]", "address": "203.0.113.9"}),
    ("combined", HEAD.replace("alice", "DOMAIN\\\\jo"), {"user": "DOMAIN\\jo"}),
    ("combined", f"shop.example:443 {COMBINED}", {"address": "203.0.113.9", "user": "alice"}),
    ("combined", HEAD.replace("203.0.113.9 -", "203.0.113.9, 10.0.0.1 -"), {"address": "203.0.113.9"}),
    ("combined", HEAD.replace("203.0.113.9 -", '"203.0.113.7, 10.0.0.1" 10.0.0.2 -'), {"address": "10.0.0.2"}),
    ("combined", HEAD.replace("203.0.113.9 - alice", "203.0.113.9 ident jo"), {"user": "jo"}),
    ("combined", HEAD.replace("203.0.113.9 - alice", "unix: - -"), {"address": "", "user": ""}),
    ("combined", HEAD.replace("203.0.113.9 - alice", " - -"), {"address": "", "user": ""}),
    ("combined", HEAD.replace("203.0.113.9", "[2001:db8::1]:443"), {"address": "2001:db8::1"}),
    ("combined", HEAD.replace("203.0.113.9 -", "203.0.113.9,10.0.0.1 -"), {"address": "203.0.113.9"}),
    ("combined", HEAD.replace("203.0.113.9 -", "v:80 203.0.113.9, 10.0.0.1 -"), {"address": "203.0.113.9"}),
    ("combined", f"gunicorn.access - INFO - {HEAD}", {"address": "203.0.113.9", "user": "alice"}),
    ("combined", HEAD.replace("203.0.113.9 - alice", "host.example - -"), {"address": "", "user": ""}),
    ("combined", HEAD.replace("alice", "9.9.9.9 - eve"), {"address": "203.0.113.9", "user": "9.9.9.9 - eve"}),
    ("combined", HEAD.replace("GET /v1/scores/7?key=secret", "- -"), {"method": "", "target": ""}),
    ("combined", f"{COMBINED} rt=0.012 uct=0.001 urt=0.011", {"response_us": 12_000, "duration": "rt (seconds)"}),
    ("combined", f'{COMBINED} rt="0.012" urt="0.011"', {"response_us": 12_000}),
    ("combined", f"{COMBINED} request_time=1.500", {"response_us": 1_500_000}),
    ("combined", f"{COMBINED} duration_ms=12", {"response_us": 12_000, "duration": "duration_ms (milliseconds)"}),
    ("combined", f"{COMBINED} took:350us", {"response_us": 350, "duration": "took (its own unit)"}),
    (
        "combined",
        f"{COMBINED} 22ms",
        {"response_us": 22_000, "duration": "the only value with a unit after the line"},
    ),
    ("combined", f"{COMBINED} 12.345 ms", {"response_us": 12_345}),
    ("combined", f"{COMBINED} (1.2s)", {"response_us": 1_200_000}),
    ("traefik", TRAEFIK.format(COMBINED), {"response_us": 22_000, "user_agent": 'Mozilla/5.0 (X11) "quoted"'}),
    ("traefik", TRAEFIK.format(f'{HEAD} "-" "-"'), {"response_us": 22_000, "user_agent": ""}),
    ("traefik", f'{HEAD} "-" "-" 5 "-" "-" 0ms', {"response_us": 0}),
    ("ingress-nginx", INGRESS.format(COMBINED), {"response_us": 56_000, "request_bytes": 423}),
    (
        "ingress-nginx",
        f"{COMBINED} 423 0.056 [app-80] [] 10.0.0.3:80, 10.0.0.4:80 0, 2326 0.050, 0.006 502, 200 8f9c7ad2",
        {"response_us": 56_000, "status": 200},
    ),
    ("ingress-nginx", f"{COMBINED} 423 0.000 [] [] - - - - 8f9c7ad2", {"response_us": 0}),
    ("ingress-nginx", f"{COMBINED} 423 0.056 [app-80] 10.0.0.3:80 12 0.056 200", {"response_us": 56_000}),
    ("alb", ALB, {"response_us": 171_000, "target": "/a?b=c", "request_bytes": 34, "address": "192.168.131.39"}),
    ("alb", ALB, {"time_us": 1_530_570_168_364_000, "duration": "the three processing times together (seconds)"}),
    ("alb", ALB.replace("0.086 0.048 0.037", "0.000 -1 -1"), {"response_us": None, "duration": ""}),
    ("alb", ALB.split(" ECDHE", maxsplit=1)[0], {"time_us": 1_530_570_180_186_641, "response_us": 171_000}),
    ("alb", ALB.replace("GET https://www.example.com:443/a?b=c HTTP/1.1", "- http://x:80- -"), {"method": ""}),
    ("haproxy", HAPROXY.format(109, 200), {"response_us": 109_000, "response_bytes": 2750, "target": "/index.html"}),
    ("haproxy", HAPROXY.format("+109", 200), {"response_us": None}),
    ("haproxy", HAPROXY.format(-1, 503), {"response_us": None, "status": 503}),
    ("haproxy", HAPROXY.format(1, 400).replace("GET /index.html HTTP/1.1", "<BADREQ>"), {"method": ""}),
    ("haproxy", f"{HAPROXY.format(109, 200)} 0/0000000000000000/0/0/0 x/TLSv1.3/T", {"target": "/index.html"}),
    ("haproxy", f"Feb  6 12:14:14 lb haproxy[14389]: {HAPROXY.format(109, 200)}", {"address": "10.0.1.2"}),
    ("envoy", ENVOY.format("204 -"), {"response_us": 226_000, "request_bytes": 154, "address": "10.0.35.28"}),
    ("envoy", ENVOY.format("0 DC"), {"status": 499, "response_us": 226_000}),
    ("envoy", ISTIO, {"response_us": 4000, "response_bytes": 135, "user_agent": "curl/7.73.0"}),
    ("caddy", CADDY % ("1413295200.5", "0.25"), {"response_us": 250_000, "time_us": TIME_US + 250_000}),
    ("caddy", CADDY % ("1413295200.5", '"1.5ms"'), {"response_us": 1500, "time_us": TIME_US + 498_500}),
    ("caddy", CADDY % ("1413295200.5", '"1m2.5s"'), {"response_us": 62_500_000}),
    ("caddy", CADDY % ("1413295200.5", '"350µs"'), {"response_us": 350}),
    ("caddy", CADDY % ("1413295200.5", "0.000000001"), {"response_us": 0, "duration": "duration (seconds)"}),
    ("caddy", CADDY % ("1413295200.5", "1500000"), {"response_us": None, "time_us": TIME_US + 500_000}),
    ("caddy", CADDY % ("1413295200500.0", "0.25"), {"time_us": TIME_US + 250_000}),
    ("caddy", CADDY % ("1413295200500000000", "0.25"), {"time_us": TIME_US + 250_000}),
    ("caddy", CADDY % ('"2014-10-14T14:00:00.500Z"', "0.25"), {"time_us": TIME_US + 250_000}),
    ("caddy", CADDY % ('"2014/10/14 14:00:00.500"', "0.25"), {"time_us": TIME_US + 250_000}),
    ("caddy", CADDY % ('"14/Oct/2014:16:00:00 +0200"', '"0s"'), {"time_us": TIME_US}),
    ("traefik-json", TRAEFIK_JSON, {"response_us": 1500, "time_us": TIME_US + 500_000, "target": "/a?b=c"}),
    (
        "nginx-json",
        (
            '{"time_iso8601":"2014-10-14T16:00:00+02:00","remote_addr":"203.0.113.9","request":"GET /x HTTP/1.1",'
            '"status":"200","body_bytes_sent":"12","request_time":"0.003","upstream_response_time":"0.002, 0.001"}'
        ),
        {"response_us": 3000, "target": "/x", "response_bytes": 12, "time_us": TIME_US},
    ),
    (
        "nginx-json",
        (
            '{"time":"2014-10-14T16:00:00+02:00","remote_addr":"203.0.113.9","request_method":"POST",'
            '"request_uri":"/x?y=1","status":201,"bytes_sent":12,"request_length":99,"request_time":1.2}'
        ),
        {"response_us": 1_200_000, "method": "POST", "status": 201, "request_bytes": 99},
    ),
    (
        "nginx-json",
        '{"msec":"1413295200.500","path":"/x","request_query":"y=1","method":"GET","status":200,"duration":0.003}',
        {"response_us": None, "target": "/x?y=1", "time_us": TIME_US + 500_000},
    ),
    (
        "nginx-json",
        (
            '{"timestamp":"2014-10-14T16:00:00+02:00","httpRequest":{"requestMethod":"GET","requestUrl":'
            '"https://shop.example/x","status":"200","responseSize":"12","remoteIp":"203.0.113.9","latency":"0.012s"}}'
        ),
        {"response_us": 12_000, "target": "/x", "address": "203.0.113.9"},
    ),
    (
        "nginx-json",
        '{"time":"2014-10-14T16:00:00+02:00","request":"GET /a\\x22b HTTP/1.1","status":"200"}',
        {"target": '/a"b'},
    ),
    ("nginx-json", '{"time":"2014-10-14T14:00:00Z","request":"","status":"400"}', {"method": "", "status": 400}),
    (
        "nginx-json",
        '{"time":"2014-10-14T14:00:00Z","request_method":"","uri":"","status":400}',
        {"method": "", "target": "", "status": 400},
    ),
    (
        "nginx-json",
        '{"start_time":"2014-10-14T14:00:00Z","method":"GET","path":"/x","response_code":200,"duration":4}',
        {"status": 200, "response_us": None, "time_us": TIME_US},
    ),
    ("iis", IIS, {"response_us": 41_000, "response_bytes": 512, "request_bytes": 77, "target": "/a/b?b=c"}),
    ("iis", IIS, {"user": "DOMAIN\\jo", "user_agent": "Mozilla/5.0 (Windows)", "time_us": TIME_US}),
    ("iis", IIS[1:], {"response_us": None}),
    ("iis", CLOUDFRONT, {"response_us": 41_000, "target": "/a", "duration": "time-taken (seconds)"}),
    ("uwsgi", UWSGI, {"response_us": 5000, "target": "/x?y=1", "response_bytes": 12, "time_us": TIME_US}),
    ("uwsgi", UWSGI.replace("msecs", "micros"), {"response_us": 5}),
    (
        "granian",
        '[2014-10-14 16:00:00 +0200] 203.0.113.9 - "GET /items/7 HTTP/1.1" 200 12.345',
        {"response_us": 12_345, "time_us": TIME_US, "address": "203.0.113.9", "target": "/items/7"},
    ),
    (
        "combined",
        '127.0.0.1 [14/Oct/2014:16:00:00 +0200] "GET /aiohttp HTTP/1.1" 200 165 "-" "curl/8"',
        {"address": "127.0.0.1", "user": "", "target": "/aiohttp", "user_agent": "curl/8"},
    ),
    (
        "hypercorn",
        (
            "[2014-10-14 14:00:00 +0000] [7] [INFO] 127.0.0.1:5 - - [14/Oct/2014:14:00:00 +0000]"
            ' "GET /ok 1.1" 200 2 "-" "t"'
        ),
        {"target": "/ok", "address": "127.0.0.1", "user": "", "user_agent": "t", "time_us": TIME_US},
    ),
    (
        "uvicorn",
        '[2014-10-14 14:00:00 +0000] [7] [INFO] 127.0.0.1:5 - "GET /u HTTP/1.1" 200',
        {"time_us": TIME_US, "address": "127.0.0.1"},
    ),
    (
        "hypercorn",
        '127.0.0.1:5000 - - [14/Oct/2014:16:00:00 +0200] "GET /ok 1.1" 200 5 "-" "curl/8"',
        {"target": "/ok", "address": "127.0.0.1", "response_bytes": 5, "response_us": None},
    ),
    ("hypercorn", 'None - - [14/Oct/2014:16:00:00 +0200] "GET /a b 2" 200 - "-" "-"', {"target": "/a b"}),
    (
        "runserver",
        '127.0.0.1 - - [14/Oct/2014 14:00:00] "GET /x HTTP/1.1" 404 -',
        {"status": 404, "address": "127.0.0.1"},
    ),
    ("runserver", '127.0.0.1 - - [14/Oct/2014 14:00:00] "\x1b[33mGET /x HTTP/1.1\x1b[0m" 404 -', {"target": "/x"}),
    (
        "runserver",
        '2014-10-14 14:00:00,123 - werkzeug - INFO - 127.0.0.1 - - [14/Oct/2014 14:00:00] "GET / HTTP/1.1" 200 -',
        {"address": "127.0.0.1", "user": "", "time_us": TIME_US},
    ),
    ("runserver", '[14/Oct/2014 14:00:00] "GET / HTTP/1.1" 200 12', {"response_bytes": 12, "time_us": TIME_US}),
    ("runserver", '127.0.0.1:50512 - - [14/Oct/2014:14:00:00] "GET /d" 200 12', {"target": "/d", "time_us": TIME_US}),
    ("uvicorn", 'INFO:     127.0.0.1:5000 - "GET /u?a=1 HTTP/1.1" 200 OK', {"time_us": None, "target": "/u?a=1"}),
    ("uvicorn", 'INFO:      - "GET /u HTTP/1.1" 200 OK', {"time_us": None, "address": ""}),
    ("uvicorn", '- "GET /u HTTP/1.1" 200', {"time_us": None}),
    (
        "uvicorn",
        '\x1b[32mINFO\x1b[0m:     127.0.0.1:1 - "\x1b[1mGET /u HTTP/1.1\x1b[0m" \x1b[32m200 OK\x1b[0m',
        {"target": "/u"},
    ),
    (
        "uvicorn",
        '2014-10-14 14:00:00,123 INFO:     203.0.113.9:51234 - "GET /u HTTP/1.1" 200 OK',
        {"time_us": TIME_US + 123_000, "address": "203.0.113.9"},
    ),
    (
        "uvicorn",
        '2014-10-14 14:00:00,123 - uvicorn.access - INFO - [2001:db8::1]:5 - "GET /u HTTP/1.1" 503',
        {"time_us": TIME_US + 123_000, "address": "2001:db8::1", "status": 503},
    ),
    (
        "uvicorn",
        'INFO: [2014-10-14T16:00:00.5+02:00] 203.0.113.9:5 - "GET /u HTTP/1.1" 200 OK',
        {"time_us": TIME_US + 500_000},
    ),
]
