from __future__ import annotations

import re
from pathlib import Path

import pytest

from apimetry.cli.settings import TABLE, Settings, SettingsError, load

SETTINGS_PAGE = Path(__file__).parent.parent.parent / "docs" / "settings.md"


def toml(tmp_path, text):
    path = tmp_path / "apimetry.toml"
    path.write_text(text)
    return path


def test_an_argument_wins_over_the_environment_over_the_file_over_the_default(tmp_path):
    config = toml(tmp_path, 'host = "file"\ndata_dir = "file"\nlog_level = "error"\n')
    environment = {"APIMETRY_HOST": "environment", "APIMETRY_DATA_DIR": "environment"}
    settings = load({"host": "argument", "data_dir": None}, environment, config)
    assert (settings.host, settings.data_dir, settings.log_level) == ("argument", "environment", "error")
    assert settings.query_port == 7778


def test_an_empty_variable_counts_as_not_given():
    assert load({}, {"APIMETRY_HOST": ""}).host == "127.0.0.1"


def test_a_secret_is_read_from_the_file_that_its_variable_names(tmp_path):
    secret = tmp_path / "store"
    secret.write_text("clickhouse://u:pass word@host:8123/db\n")
    settings = load({}, {"APIMETRY_STORE_FILE": str(secret)}, toml(tmp_path, 'store = "file"\n'))
    assert settings.store == "clickhouse://u:pass word@host:8123/db"
    assert load({"store": "argument"}, {"APIMETRY_STORE_FILE": str(secret)}).store == "argument"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "APIMETRY_STORE_FILE: .*secret cannot be read: No such file"),
        (b"", "has no secret"),
        (b"\n\n", "has no secret"),
        (b" \t\n", "has no secret"),
        (b"\xff", "is not text"),
        (b"a" * 65_537, "has too much text for a secret"),
    ],
)
def test_a_secret_s_file_that_cannot_be_used_stops_the_start(tmp_path, content, message):
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load({}, {"APIMETRY_STORE_FILE": str(secret)})


def test_a_secret_both_in_its_variable_and_in_a_file_is_refused_and_not_shown(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    with pytest.raises(SettingsError, match="are both set") as raised:
        load({}, {"APIMETRY_SMTP_PASSWORD": "hidden", "APIMETRY_SMTP_PASSWORD_FILE": str(secret)})
    assert "hidden" not in str(raised.value)


def test_only_secrets_stand_in_files_of_their_own(tmp_path):
    assert load({}, {"APIMETRY_HOST_FILE": str(tmp_path / "none")}).host == "127.0.0.1"


def test_a_price_may_be_written_with_a_point_or_an_exponent():
    settings = load({"price_per_request": "0.5"}, {"APIMETRY_PRICE_PER_BYTE": "2e-7"})
    assert (settings.price_per_request, settings.price_per_byte) == (0.5, 2e-7)


def test_text_becomes_the_setting_s_type():
    settings = load({"collector_port": "0"}, {"APIMETRY_MIGRATE": "false"})
    assert (settings.collector_port, settings.migrate) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ({"query_port": "x"}, {}, "--query-port: 'x' is not a whole number from 0 to 65535"),
        ({"query_port": "65536"}, {}, "--query-port: '65536' is not a whole number from 0 to 65535"),
        ({}, {"APIMETRY_MIGRATE": "perhaps"}, "APIMETRY_MIGRATE: 'perhaps' is not true or false"),
        ({}, {"APIMETRY_LOG_LEVEL": "loud"}, "'loud' is not one of debug, info, warning, error"),
        ({}, {"APIMETRY_PRICE_PER_BYTE": "-1"}, "'-1' is not a number from 0 to 1000000000"),
        ({}, {"APIMETRY_CLUSTER": "a'b"}, 'APIMETRY_CLUSTER: "a\'b" is not a name of letters, digits, _, . and -'),
        ({"host": ""}, {}, "--host: '' is not text of a character or more"),
        ({"max_query_time_s": "inf"}, {}, "'inf' is not a number above 0 and up to 30"),
        ({"public_url": "example.com"}, {}, "'example.com' is not an address such as https://"),
        (
            {"public_url": "https://me:hidden@example.com"},
            {},
            "--public-url: 'https://***@example.com' is not an address",
        ),
        ({"trace_url": "http://x/{id}"}, {}, "is not an address with {trace_id}"),
        ({"smtp_from": "alerts"}, {}, "'alerts' is not a mail address such as"),
        ({"bootstrap_application": "a b"}, {}, "'a b' is not an id of at most 64 letters"),
    ],
)
def test_the_error_of_an_invalid_value_names_its_source_the_value_and_the_expected_form(
    arguments, environment, message
):
    with pytest.raises(SettingsError) as raised:
        load(arguments, environment)
    assert message in str(raised.value)


def test_no_error_of_a_setting_shows_a_pattern_or_a_missing_limit():
    assert [info.name for info in TABLE if "^" in info.expected or "None" in info.expected] == []


def test_a_wrong_type_in_the_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(SettingsError, match=r"query_port in .*apimetry\.toml: '7778' is not a whole number"):
        load({}, {}, toml(tmp_path, 'query_port = "7778"'))


def test_an_unknown_key_in_the_file_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match=r"unknown setting 'hosts'; known are .*host"):
        load({}, {}, toml(tmp_path, 'hosts = "x"'))


def test_the_error_of_an_unknown_key_suggests_the_nearest_setting(tmp_path):
    with pytest.raises(SettingsError, match=r"unknown setting 'datadir'; known are .*; did you mean 'data_dir'\?"):
        load({}, {}, toml(tmp_path, 'datadir = "x"'))


def test_a_variable_that_kubernetes_sets_is_no_port():
    assert load({}, {"APIMETRY_COLLECTOR_PORT": "tcp://10.0.0.1:7998"}).collector_port == 7998


def test_a_named_settings_file_must_exist(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, {}, tmp_path / "absent.toml")


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="not a TOML file"):
        load({}, {}, toml(tmp_path, "host: x"))


def test_a_secret_is_not_repeated_in_the_refusal(tmp_path):
    with pytest.raises(SettingsError) as raised:
        load({}, {}, toml(tmp_path, "bootstrap_admin_key = 12345"))
    assert "***" in str(raised.value)
    assert "12345" not in str(raised.value)


def test_every_setting_is_documented_with_its_option_variable_and_default():
    rows = re.findall(
        r"^\| `(--[a-z-]+)` \| `(APIMETRY_[A-Z_]+)` \| (.*?) \| .+ \|$", SETTINGS_PAGE.read_text(), re.MULTILINE
    )
    documented = [(option, environment, default.strip("`")) for option, environment, default in rows]
    expected = [(info.option, info.environment, shown(info.default)) for info in TABLE]
    assert documented == expected


def shown(default):
    if default == "":
        return "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_settings_do_not_change_after_they_were_made():
    with pytest.raises(AttributeError):
        Settings().host = "elsewhere"
