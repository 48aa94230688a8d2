"""A misspelt variable is named, with the one that was meant; others' variables are left alone."""

import pytest

from apimetry.cli.environment import misspelt
from apimetry.cli.settings import TABLE


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("APIMETRY_WRIT_KEY", "APIMETRY_WRITE_KEY"),
        ("APIMETRY_COLLECTORPORT", "APIMETRY_COLLECTOR_PORT"),
        ("APIMETRY_DATADIR", "APIMETRY_DATA_DIR"),
        ("APIMETRY_CLICKHOUSE", None),
        ("apimetry_write_key", "APIMETRY_WRITE_KEY"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_right_one(name, meant):
    (sentence,) = misspelt({name: "secret"})
    assert name in sentence
    assert (f"did you mean {meant}?" in sentence) if meant else ("did you mean" not in sentence)
    assert "secret" not in sentence


def test_settings_and_what_the_clients_read_are_known():
    names = [info.environment for info in TABLE]
    names += [f"APIMETRY_{name}" for name in ("COLLECTOR_URL", "QUERY_URL", "WRITE_KEY", "READ_KEY", "ADMIN_KEY")]
    assert list(misspelt(dict.fromkeys([*names, "PATH", "MY_APIMETRY_X"], "x"))) == []


def test_what_kubernetes_and_docker_set_for_a_service_of_that_name_is_not_misspelt():
    names = (
        "APIMETRY_SERVICE_HOST", "APIMETRY_SERVICE_PORT", "APIMETRY_SERVICE_PORT_HTTP", "APIMETRY_PORT",
        "APIMETRY_PORT_7998_TCP", "APIMETRY_PORT_7998_TCP_ADDR", "APIMETRY_QUERY_SERVICE_HOST",
        "APIMETRY_TEST_CLICKHOUSE_URL",
    )  # fmt: skip
    assert list(misspelt(dict.fromkeys(names, "tcp://10.0.0.1:7998"))) == []
