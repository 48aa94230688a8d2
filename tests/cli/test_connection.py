"""Keys and addresses come from an argument, else the environment, else the data directory."""

from __future__ import annotations

import io
import json

import click
import pytest
from click.testing import CliRunner

from apimetry.cli.connection import Connection, checked_url, with_connection
from apimetry.cli.main import COMMANDS, main
from tests.support.services.http_server import answering

KEYS = {"application": "shop", "write_key": "apimetry_w_kept", "read_key": "apimetry_r_kept"}


@pytest.fixture(autouse=True)
def without_our_variables(monkeypatch, tmp_path):
    for name in ("WRITE_KEY", "READ_KEY", "ADMIN_KEY", "COLLECTOR_URL", "QUERY_URL", "DATA_DIR"):
        monkeypatch.delenv(f"APIMETRY_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "apimetry-data"
    folder.mkdir()
    (folder / "credentials.json").write_text(json.dumps(KEYS))
    (folder / "addresses.json").write_text(json.dumps({"query_url": "http://127.0.0.1:1234"}))
    return folder


def connection(**options):
    names = ("collector_url", "query_url", "write_key", "read_key", "admin_key")
    return Connection({**dict.fromkeys([*names, "data_dir"]), **options})


def test_an_argument_wins_over_the_environment_over_the_data_directory(data_dir, monkeypatch):
    assert connection().key("read_key") == "apimetry_r_kept"
    monkeypatch.setenv("APIMETRY_READ_KEY", "apimetry_r_variable")
    assert connection().key("read_key") == "apimetry_r_variable"
    assert connection(read_key="apimetry_r_argument").key("read_key") == "apimetry_r_argument"


def test_an_address_comes_from_the_data_directory_or_is_the_default(data_dir, monkeypatch):
    assert connection().url("query_url") == "http://127.0.0.1:1234"
    assert connection().url("collector_url") == "http://127.0.0.1:7998"
    monkeypatch.setenv("APIMETRY_QUERY_URL", "http://127.0.0.1:5678/")
    assert connection().url("query_url") == "http://127.0.0.1:5678"


def test_the_data_directory_comes_from_its_argument_variable_or_settings_file(data_dir, tmp_path, monkeypatch):
    elsewhere = data_dir.rename(tmp_path / "elsewhere")
    with pytest.raises(click.UsageError, match=r"apimetry-data/credentials\.json"):
        connection().key("read_key")
    assert connection(data_dir=str(elsewhere)).key("read_key") == "apimetry_r_kept"
    (tmp_path / "apimetry.toml").write_text('data_dir = "elsewhere"\n')
    assert connection().key("read_key") == "apimetry_r_kept"
    (tmp_path / "apimetry.toml").unlink()
    monkeypatch.setenv("APIMETRY_DATA_DIR", str(elsewhere))
    assert connection().key("read_key") == "apimetry_r_kept"


def test_the_error_for_a_missing_key_names_every_source(data_dir):
    with pytest.raises(click.UsageError) as raised:
        connection().key("admin_key")
    for place in ("--admin-key-file", "APIMETRY_ADMIN_KEY", "--data-dir", str(data_dir / "credentials.json")):
        assert place in raised.value.message


def test_a_key_comes_from_the_first_line_of_a_file(tmp_path):
    (tmp_path / "key").write_text("  apimetry_r_file\nmore\n")
    assert connection(read_key_file=str(tmp_path / "key")).key("read_key") == "apimetry_r_file"


def test_keys_come_from_standard_input_one_line_each_and_leave_the_rest(monkeypatch):
    class Input:
        buffer = io.BytesIO(b"apimetry_w_first\napimetry_r_second\nthe log\n")

    monkeypatch.setattr("sys.stdin", Input)
    both = connection(write_key_file="-", read_key_file="-")
    assert [both.key("write_key"), both.key("read_key")] == ["apimetry_w_first", "apimetry_r_second"]
    assert both.key("write_key") == "apimetry_w_first"
    assert Input.buffer.read() == b"the log\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n", b"two words\n", b"\x1b[2J\n"])
def test_a_file_without_a_key_is_named_and_its_content_is_not_repeated(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(click.UsageError, match=r"--read-key-file: this is no key|key has no key") as raised:
        connection(read_key_file=str(tmp_path / "key")).key("read_key")
    assert "words" not in raised.value.message


def test_a_key_and_a_key_file_together_are_refused(tmp_path):
    with pytest.raises(click.UsageError, match="--read-key and --read-key-file are both given"):
        connection(read_key="a", read_key_file="b").key("read_key")


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_an_unreadable_credentials_file_is_named(data_dir, content):
    (data_dir / "credentials.json").write_text(content)
    with pytest.raises(click.ClickException, match=r"credentials\.json is not"):
        connection().key("read_key")
    assert connection(read_key="apimetry_r_argument").key("read_key") == "apimetry_r_argument"


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("http://127.0.0.1:7998/", "http://127.0.0.1:7998"),
        ("http://127.0.0.1:7998/1/event/", "http://127.0.0.1:7998"),
        ("https://a.example/apimetry/1/event", "https://a.example/apimetry"),
        (" http://[::1]:7998 ", "http://[::1]:7998"),
    ],
)
def test_an_address_may_end_in_a_slash_or_in_the_path_of_events(value, url):
    assert checked_url(value, "--collector-url") == url


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("127.0.0.1:7998", "has no scheme: write http://127.0.0.1:7998 or https://127.0.0.1:7998"),
        ("localhost", "has no scheme"),
        ("collector:7998", "has no scheme"),
        ("ftp://x", "is not an http:// or https:// address"),
        ("http://", "is not the address of a service"),
        ("http://x:99999", "is not the address of a service"),
        ("http://a b", "is not the address of a service"),
        ("http://x/?key=1", "is not the address of a service"),
        ("http://user:secret@x", "carries no user and password"),
    ],
)
def test_an_invalid_address_is_refused_with_its_origin(value, message):
    with pytest.raises(click.UsageError) as raised:
        checked_url(value, "APIMETRY_COLLECTOR_URL")
    assert raised.value.message.startswith("APIMETRY_COLLECTOR_URL: ")
    assert message in raised.value.message
    assert "secret" not in raised.value.message


def test_every_command_that_calls_a_service_has_the_same_options():
    options_of = {
        "doctor": ("collector-url", "query-url", "write-key", "read-key"),
        "import access-log": ("collector-url", "query-url", "write-key", "read-key"),
        "tail": ("query-url", "read-key"),
        "keys list": ("query-url", "admin-key"),
        "applications list": ("query-url", "admin-key"),
        "alerts list": ("query-url", "admin-key"),
    }
    for command, names in options_of.items():
        text = CliRunner().invoke(main, [*command.split(), "--help"]).output
        options = {*names, *(f"{name}-file" for name in names if name.endswith("key")), "data-dir"}
        assert [name for name in options if f"--{name} " not in text] == []
        assert "--url " not in text
        assert "process lists" in text
    assert {command.split()[0] for command in options_of} <= set(COMMANDS)


def test_options_are_looked_up_when_they_are_needed():
    @click.command()
    @with_connection("query_url", "read_key")
    def command(connection):
        click.echo(connection.url("query_url"))

    ran = CliRunner().invoke(command, ["--query-url", "http://127.0.0.1:1"])
    assert (ran.exit_code, ran.output) == (0, "http://127.0.0.1:1\n")


def test_a_key_of_an_alert_comes_from_a_file_too(tmp_path):
    sent = []

    def answer(request):
        sent.append(request.path)
        return 201, {}, json.dumps({"secret": "whsec_x", "alert": {"id": "a"}}).encode()

    (tmp_path / "routing").write_text("R0UTING\n")
    rule = ["--application", "shop", "--name", "x", "--metric", "no_data", "--channel", "pagerduty"]
    with answering(answer) as server:
        create = ["alerts", "create", *rule, "--query-url", server.url, "--admin-key", "apimetry_a_x"]
        ran = CliRunner().invoke(main, [*create, "--routing-key-file", str(tmp_path / "routing")])
        assert (ran.exit_code, sent) == (0, ["/api/alerts"])
        assert json.loads(server.bodies[0])["routingKey"] == "R0UTING"
        both = CliRunner().invoke(main, [*create, "--routing-key", "y", "--routing-key-file", "x"])
    assert (both.exit_code, "are both given" in both.output) == (2, True)
