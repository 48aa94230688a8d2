"""A misspelt variable is reported with a suggestion; variables of other programs are not reported."""

from __future__ import annotations

import pytest

from apimetry.cli.environment import misspelt
from apimetry.cli.settings import TABLE


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("APIMETRY_WRIT_KEY", "APIMETRY_WRITE_KEY"),
        ("APIMETRY_COLLECTORPORT", "APIMETRY_COLLECTOR_PORT"),
        ("APIMETRY_DATADIR", "APIMETRY_DATA_DIR"),
        ("APIMETRY_HOST_FILE", "APIMETRY_STORE_FILE"),
        ("APIMETRY_CLICKHOUSE", None),
        ("apimetry_write_key", "APIMETRY_WRITE_KEY"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_right_one(name, suggestion):
    (sentence,) = misspelt({name: "secret"})
    assert name in sentence
    assert (f"did you mean {suggestion}?" in sentence) if suggestion else ("did you mean" not in sentence)
    assert "secret" not in sentence


def test_settings_and_client_variables_are_known():
    names = [info.environment for info in TABLE]
    names += ["APIMETRY_STORE_FILE", "APIMETRY_SMTP_PASSWORD_FILE", "APIMETRY_BOOTSTRAP_ADMIN_KEY_FILE"]
    names += [f"APIMETRY_{name}" for name in ("COLLECTOR_URL", "QUERY_URL", "WRITE_KEY", "READ_KEY", "ADMIN_KEY")]
    assert list(misspelt(dict.fromkeys([*names, "PATH", "MY_APIMETRY_X"], "x"))) == []


def test_variables_of_kubernetes_and_docker_are_not_misspelt():
    names = (
        "APIMETRY_SERVICE_HOST", "APIMETRY_SERVICE_PORT", "APIMETRY_SERVICE_PORT_HTTP", "APIMETRY_PORT",
        "APIMETRY_PORT_7998_TCP", "APIMETRY_PORT_7998_TCP_ADDR", "APIMETRY_QUERY_SERVICE_HOST",
        "APIMETRY_TEST_CLICKHOUSE_URL",
    )  # fmt: skip
    assert list(misspelt(dict.fromkeys(names, "tcp://10.0.0.1:7998"))) == []
