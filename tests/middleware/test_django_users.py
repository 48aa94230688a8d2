from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("django_users.py")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    database = tmp_path_factory.mktemp("users") / "db.sqlite3"
    done = subprocess.run([sys.executable, str(SCRIPT), str(database)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Synchronous" not in done.stderr
    assert "consumer=" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("view", ["uses_user", "async_uses_user"])
def test_consumer_is_the_user_that_the_view_has_asked_for(recorded, kind, view):
    consumer, data, queries = recorded["by_request"][f"{kind} {view}"]
    assert (consumer, data) == (recorded["user"], {"cart": "full"})
    assert queries <= 2  # the view's own: the session and the user


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("view", ["uses_nothing", "async_uses_nothing"])
def test_view_that_asks_for_no_user_costs_no_query_and_has_no_consumer(recorded, kind, view):
    assert recorded["by_request"][f"{kind} {view}"] == ["", {"cart": "unknown"}, 0]
