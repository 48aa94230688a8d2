"""The table of commands is right, and needs no import of a command."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from apimetry.cli import access, alerts, manage
from apimetry.cli.main import COMMANDS, main
from apimetry.query_api.sharing.link_bodies import Hidden, SharedPage, SharedRange
from apimetry.store.accounts.records import KeyKind
from apimetry.store.alerts.channels import Channel
from apimetry.store.alerts.records import Direction, Metric

# Only a command that runs may import these modules.
HEAVY = ("aiohttp", "asyncio", "chdb", "clickhouse_connect", "msgspec", "prometheus_client", "urllib.request")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_the_first_sentence_of_every_command(name):
    command = main.get_command(click.Context(main), name)
    first_sentence, _, _ = command.help.partition(".")
    assert COMMANDS[name][1] == f"{first_sentence}."


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_version_and_the_help_import_no_command(option):
    script = (
        "import json, sys\n"
        "from apimetry.cli.main import main\n"
        "sys.argv = ['apimetry', sys.argv[1]]\n"
        "try:\n    main()\n"
        "finally:\n    print('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, option], capture_output=True, text=True, check=True)
    imported = json.loads(ran.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in imported] == []
    modules = [name for name in imported if name.startswith("apimetry")]
    assert modules == ["apimetry", "apimetry.cli", "apimetry.cli.main"]


def test_the_help_lists_every_command_with_its_sentence():
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert all(f"{name} {sentence}" in text for name, (_, sentence) in COMMANDS.items())


def test_choices_are_the_same_as_in_the_store():
    assert list(manage.KINDS) == [kind.value for kind in KeyKind]
    assert list(alerts.METRICS) == [metric.value for metric in Metric]
    assert list(access.PAGES) == [page.value for page in SharedPage]
    assert list(access.RANGES) == [shared.value for shared in SharedRange]
    assert set(access.FIELDS) == {field.value for field in Hidden}
    assert list(alerts.CHANNELS) == [channel.value for channel in Channel]
    assert list(alerts.DIRECTIONS) == [direction.value for direction in Direction]


@pytest.mark.parametrize("arguments", [["\x1b[2J"], ["--\x1b[2J"], ["keys", "--\x1b[2J"], ["keys", "\x1b[2J"]])
def test_a_wrong_word_cannot_control_the_terminal(arguments):
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 2
    assert "\x1b" not in ran.stderr


def test_a_missing_extra_is_one_sentence_that_names_it():
    script = "import sys\nsys.modules[sys.argv.pop(1)] = None\nfrom apimetry.cli.main import main\nmain()\n"
    for module, arguments in (("click", ["--help"]), ("msgspec", ["keys", "list"]), ("aiohttp", ["serve"])):
        ran = subprocess.run(
            [sys.executable, "-c", script, module, *arguments], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 1
        assert ran.stderr == (
            f"Error: {module} is not installed: pip install 'apimetry[embedded]',"
            " or 'apimetry[server]' where a ClickHouse server is used\n"
        )
