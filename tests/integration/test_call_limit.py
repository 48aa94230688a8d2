"""A plan's calls per month as a hard limit, from the admin's PATCH to the sender's 429."""

from __future__ import annotations

import json
import time
import urllib.request

from tests.support.services.keys import ADMIN_KEY
from tests.support.services.processes import BOOTSTRAP, post_events, running


def set_limit(service, calls):
    request = urllib.request.Request(
        f"{service.query_url}/api/organization",
        data=json.dumps({"plan": {"name": "small", "maxApiCalls": calls}}).encode(),
        headers={"X-API-Key": ADMIN_KEY, "Content-Type": "application/json"},
        method="PATCH",
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200


def test_plan_is_held_until_it_is_raised_and_across_a_restart(tmp_path):
    event = {"timestamp": time.time(), "method": "GET", "url": "/", "response_us": 1, "status_code": 200}
    settings = {**BOOTSTRAP, "APIMETRY_HARD_CALL_LIMIT": "true"}

    def answers(service, status):
        return lambda: post_events(service.collector_url, [event])[0] == status

    with running("serve", data_dir=tmp_path, **settings) as service:
        assert post_events(service.collector_url, [event] * 7)[0] == 200
        set_limit(service, 7)
        service.wait_until(answers(service, 429), "429")
    with running("serve", data_dir=tmp_path, **settings) as service:
        service.wait_until(answers(service, 429), "429 after the restart")
        set_limit(service, 1000)
        service.wait_until(answers(service, 200), "200 under a larger plan")
