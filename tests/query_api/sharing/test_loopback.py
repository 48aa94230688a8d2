"""Who is on this machine itself."""

from __future__ import annotations

import pytest

from apimetry.query_api.sharing.loopback import is_from_loopback

HERE = {"Host": "127.0.0.1:7999"}


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("127.0.0.1", HERE),
        ("::1", {"Host": "[::1]:7999"}),
        ("::ffff:127.0.0.1", {"Host": "localhost:7999"}),
        ("127.0.0.1", {"Host": "localhost"}),
        ("127.0.0.1", {**HERE, "Origin": "http://127.0.0.1:7999"}),
    ],
)
def test_who_is_on_this_machine_may_sign_in(peer, headers):
    assert is_from_loopback(peer, headers)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (None, HERE),
        ("", HERE),
        ("10.0.0.7", HERE),
        ("::ffff:10.0.0.7", HERE),
        ("127.0.0.1", {}),
        # Another name that was bound to this machine, in a browser.
        ("127.0.0.1", {"Host": "rebound.example:7999"}),
        ("127.0.0.1", {"Host": "127.0.0.1.rebound.example"}),
        ("127.0.0.1", {"Host": "127.0.0.1@rebound.example"}),
        ("127.0.0.1", {"Host": "[::1"}),
        # A page of another origin.
        ("127.0.0.1", {**HERE, "Origin": "http://localhost:8000"}),
        ("127.0.0.1", {**HERE, "Origin": "https://evil.example"}),
        ("127.0.0.1", {**HERE, "Origin": "null"}),
        # A proxy passes on requests of others.
        ("127.0.0.1", {**HERE, "X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {**HERE, "Forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {**HERE, "X-Real-IP": "127.0.0.1"}),
        ("127.0.0.1", {**HERE, "Via": "1.1 proxy"}),
    ],
)
def test_only_who_is_on_this_machine_is_on_the_loopback(peer, headers):
    assert not is_from_loopback(peer, headers)
