from __future__ import annotations

import pytest

from apimetry.middleware.privacy import (
    hash_consumer,
    public_address,
    public_url,
    resolve_client,
)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["a", "a@", "@a.", "eyJ", "sk_", "A0a-", "A0a.", ";a=", "+1", "%40", "1-1", "a/"])
def test_hostile_path_of_a_million_characters_is_cut_and_masked_at_once(piece):
    assert len(public_url("/" + piece * (1_000_000 // len(piece)), "", "masked")) <= 2048


def test_cut_leaves_no_half_of_a_secret():
    url = public_url("/" + "jo@example.org/" * 272 + "sk_live_4eC39HqLyjWDarjtT1zdp7dc/x", "", "masked")
    assert set(url.split("/")) <= {"", "***"}


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "forwarded", "client"),
    [
        ("203.0.113.7", "198.51.100.1", "", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1", "", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.9", "", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.7, 10.0.0.9", "", "10.0.0.7"),
        ("10.0.0.1", "198.51.100.1:4711", "", "198.51.100.1"),
        ("10.0.0.1", "unknown, 10.0.0.9", "", "10.0.0.9"),
        ("10.0.0.1", "198.51.100.1, nonsense", "", "10.0.0.1"),
        ("10.0.0.1", "", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "", "198.51.100.1"),
        ("10.0.0.1", "", "for=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
        ("10.0.0.1", "", 'For="[2001:db8::1]:4711", for=10.0.0.9', "2001:db8::1"),
        ("10.0.0.1", "", "for=_hidden, for=10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "198.51.100.1", "for=6.6.6.6", "198.51.100.1"),
        ("", "198.51.100.1", "", "198.51.100.1"),
        ("fd00::1", "2001:db8::5", "", "2001:db8::5"),
        ("10.0.0.1", "198.51.100.1,", "", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, , 10.0.0.9, ", "", "198.51.100.1"),
        ("10.0.0.1", " , ,", "", "10.0.0.1"),
        ("10.0.0.1", " , ,", "for=198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "", 'for=198.51.100.1, for="", ,', "198.51.100.1"),
    ],
)
def test_only_trusted_proxies_are_believed_and_only_for_their_own_hop(peer, forwarded_for, forwarded, client):
    assert resolve_client(peer, forwarded_for, forwarded, ("10.0.0.0/8", "fd00::/8", "unix")) == client


def test_modes_of_the_url():
    assert public_url("/a", "b=c", "path") == "/a"
    assert public_url("/a", "b=c", "masked") == "/a?b=***"
    assert public_url("/a", "b=c", "full") == "/a?b=c"
    assert len(public_url("/" + "a/" * 5000, "", "masked")) == 2048


@pytest.mark.parametrize(
    ("address", "mode", "public"),
    [
        ("203.0.113.77", "off", ""),
        ("203.0.113.77", "full", "203.0.113.77"),
        ("203.0.113.77", "truncated", "203.0.113.0"),
        ("2001:db8:1:2::3", "truncated", "2001:db8:1::"),
        ("fe80::1%eth0", "truncated", "fe80::"),
        ("::ffff:203.0.113.77", "truncated", "203.0.113.0"),
        ("/run/socket", "truncated", ""),
        ("", "full", ""),
    ],
)
def test_address_leaves_as_asked(address, mode, public):
    assert public_address(address, mode) == public


def test_hash_is_the_same_for_a_key_and_another_for_another():
    assert hash_consumer(b"alice", "k") == hash_consumer(b"alice", "k")
    assert hash_consumer(b"alice", "k") != hash_consumer(b"alice", "other")
    assert hash_consumer(b"alice", "k") != hash_consumer(b"bob", "k")
