"""What was exported can be posted back: the same events, field by field."""

from __future__ import annotations

import json
import time
import urllib.request

from tests.support.services.keys import ADMIN_KEY, READ_KEY
from tests.support.services.processes import BOOTSTRAP, post_events, running, wait_for_total

NASTY = "a\"b'c\\d,\n\r\t\0ü😀</script>{x:Int}"


def request(url, key, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as response:
        return response.read()


def exported(service, key):
    lines = request(f"{service.query_url}/v1/export/events", key).decode().split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


def test_an_export_posted_to_another_application_is_the_same_events(tmp_path):
    now = int(time.time())
    events = [
        {"timestamp": now - number + micros / 1_000_000, "method": "GET", "url": f"/{NASTY}",
         "response_us": number or None, "status_code": 200 + number, "route": NASTY, "consumer_id": NASTY,
         "data": {NASTY: NASTY, "": ""}, "sample_weight": number + 1, "ttfb_us": number or None,
         "request_bytes": 2**53, "source": "a:b", "version": "1", "client_ip": "192.0.2.1", "user_agent": NASTY,
         "error_type": "E", "function": "f"}
        for number, micros in enumerate((0, 1, 999_999, 123_456, 500_000))
    ]  # fmt: skip
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as service:
        assert post_events(service.collector_url, events) == (200, {"accepted": 5, "rejected": 0})
        wait_for_total(service, service.query_url, 15)
        first = exported(service, READ_KEY)
        assert sorted(first, key=lambda event: event["status_code"]) == [
            {**event, "response_bytes": None} for event in events
        ]
        request(f"{service.query_url}/api/applications", ADMIN_KEY, {"id": "copy", "name": "Copy"})
        write, read = (
            json.loads(request(f"{service.query_url}/api/keys", ADMIN_KEY, {"kind": kind, "application": "copy"}))
            for kind in ("write", "read")
        )
        assert post_events(service.collector_url, first, write["secret"]) == (200, {"accepted": 5, "rejected": 0})
        wait_for_total(service, service.query_url, 15, read["secret"])
        assert exported(service, read["secret"]) == first
