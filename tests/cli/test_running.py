"""A reload applies the settings that may change, and no other setting."""

from __future__ import annotations

import msgspec
import pytest

from apimetry.cli.running import Services, collector_settings, query_settings
from apimetry.cli.settings import Settings, SettingsError, load
from apimetry.collector.app import CONTROL, create_app
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.directory import Directory
from apimetry.store.client import Store
from apimetry.store.limits import QUERY_LIMITS


@pytest.fixture
def services(tmp_path):
    settings = Settings(data_dir=str(tmp_path / "data"))
    store = Store(f"chdb://{tmp_path}/store")  # never opened
    app = create_app(store, Directory(Accounts(store)), collector_settings(settings))
    return Services(settings, collector=app)


def test_a_reload_with_an_unusable_data_directory_applies_the_other_settings(services, tmp_path):
    (tmp_path / "file").touch()
    changed = {"data_dir": str(tmp_path / "file" / "below"), "spool_max_bytes": 2**30}
    before = services.settings
    services.reload(lambda: msgspec.structs.replace(before, **changed))
    assert services.settings == msgspec.structs.replace(before, spool_max_bytes=2**30)
    assert services.collector[CONTROL].journal.settings.max_bytes == 2**30


def test_a_reload_makes_no_new_data_directory(services, tmp_path):
    services.reload(lambda: msgspec.structs.replace(services.settings, data_dir=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("settings", "address", "shown"),
    [
        ({}, "http://127.0.0.1:7998", "http://127.0.0.1:7998"),
        ({}, None, None),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:7998", None),
        (
            {"public_collector_url": "https://collect.example.com/"},
            "http://127.0.0.1:7998",
            "https://collect.example.com",
        ),
    ],
)
def test_pages_show_the_public_address_of_the_collector_or_its_own_on_the_loopback(settings, address, shown):
    assert query_settings(Settings(**settings), address).collector_url == shown


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("https://traces.example.com/trace/{trace_id}?tab=all", True),
        ("https://traces.example.com/trace/", False),
        ("javascript:alert('{trace_id}')", False),
        ("https://me:secret@traces.example.com/{trace_id}", False),
    ],
)
def test_address_of_traces_is_a_web_address_with_a_place_for_the_id(text, is_taken):
    if is_taken:
        assert query_settings(load({}, {"APIMETRY_TRACE_URL": text}), None).trace_url == text
    else:
        with pytest.raises(SettingsError, match="TRACE_URL"):
            load({}, {"APIMETRY_TRACE_URL": text})


def test_what_a_statement_may_spend_is_the_operators_to_set_up_to_what_the_store_allows():
    settings = Settings(max_query_time_s=5.0, max_query_memory_bytes=2**30)
    limits = query_settings(settings, None)
    assert (limits.max_query_time_s, limits.max_query_memory_bytes) == (5.0, 2**30)
    most = {"APIMETRY_MAX_QUERY_TIME_S": "30", "APIMETRY_MAX_QUERY_MEMORY_BYTES": str(2**32)}
    loaded = load({}, most)
    assert (loaded.max_query_time_s, loaded.max_query_memory_bytes) == (
        QUERY_LIMITS["max_execution_time"],
        QUERY_LIMITS["max_memory_usage"],
    )
    for name, value in most.items():
        with pytest.raises(SettingsError, match=name):
            load({}, {name: f"{value}1"})
