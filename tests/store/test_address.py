"""Stores' URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from apimetry.store.address import StoreAddress, StoreAddressError, checked_cluster, parse_address
from apimetry.store.client import Store


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("chdb:///var/lib/x", StoreAddress("apimetry", path=Path("/var/lib/x"))),
        ("chdb:///a/../b/", StoreAddress("apimetry", path=Path("/b"))),
        ("chdb:///a%20b", StoreAddress("apimetry", path=Path("/a b"))),
        ("clickhouse://h", StoreAddress("apimetry", host="h", port=8123, username="default")),
        ("clickhouse://h:8443/d", StoreAddress("d", interface="https", host="h", port=8443, username="default")),
        ("clickhouses://h", StoreAddress("apimetry", interface="https", host="h", port=8443, username="default")),
        ("https://u:p%40ss@h:9443/d", StoreAddress("d", None, "https", "h", 9443, "u", "p@ss")),
        ("http://h:8443/d", StoreAddress("d", host="h", port=8443, username="default")),
        (
            "clickhouse://h:9000/d?secure=true&verify=false",
            StoreAddress("d", None, "https", "h", 9000, "default", "", {"verify": "false"}),
        ),
        (
            "clickhouse://u,1:p,@2@a,b:9000,[::1]:1,a:8123/d?compress=zstd",
            StoreAddress(
                "d", None, "http", "a", 8123, "u,1", "p,@2", {"compress": "zstd"}, (("b", 9000), ("::1", 1))
            ),
        ),
        ("https://a,b:1", StoreAddress("apimetry", None, "https", "a", 8443, "default", more_hosts=(("b", 1),))),
        ("http://[::1]:1/d_2", StoreAddress("d_2", host="::1", port=1, username="default")),
    ],
)
def test_urls_are_read(url: str, address: StoreAddress):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "starts with"),
        ("postgres://h/d", "starts with"),
        ("chdb://", "absolute path"),
        ("chdb://relative/path", "absolute path"),
        ("chdb:///", "absolute path"),
        ("chdb:///a*b", "without"),
        ("clickhouse:///d", "no host"),
        ("clickhouse://h:port/d", "malformed"),
        ("clickhouse://h,i:port/d", "malformed"),
        ("clickhouse://h,,i/d", "no host at one of its commas"),
        ("clickhouse://h/d`; DROP", "database's name"),
        ("clickhouse://h/a/b", "database's name"),
        ("clickhouse://h/d?verfy=1", "unknown option 'verfy'"),
    ],
)
def test_unusable_urls_say_why(url: str, message: str):
    with pytest.raises(StoreAddressError, match=message):
        parse_address(url)


def test_the_password_is_never_shown():
    address = parse_address("clickhouse://u:hunter2@h/d")
    assert "hunter2" not in f"{address} {address!r}"


def test_several_hosts_are_shown_and_need_a_cluster():
    url = "http://a,[::1]:9000/d"
    assert str(parse_address(url)) == "http://a:8123,[::1]:9000/d"
    with pytest.raises(StoreAddressError, match="several hosts and there is no cluster"):
        Store(url)


def test_cluster_names_are_checked():
    assert checked_cluster("") is None
    assert checked_cluster("prod-1.eu") == "prod-1.eu"
    with pytest.raises(StoreAddressError):
        checked_cluster("x' ENGINE")
