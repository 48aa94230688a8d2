"""The lines that a start prints can be pasted as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from apimetry.cli.banner import command_name, reachable


def test_the_command_is_named_as_the_shell_finds_it(tmp_path, monkeypatch):
    command = tmp_path / ".venv" / "bin" / "apimetry"
    command.parent.mkdir(parents=True)
    (tmp_path / ".venv" / "lib").mkdir()
    command.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(tmp_path)
    assert command_name(str(command)) == ".venv/bin/apimetry"
    assert command_name(".venv/bin/apimetry") == ".venv/bin/apimetry"
    monkeypatch.setenv("PATH", str(command.parent))
    assert command_name(str(command)) == "apimetry"
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(command.parent.parent / "lib")
    assert command_name(str(command)) == str(command)


@pytest.mark.parametrize(
    ("listening", "shown"),
    [
        ("http://0.0.0.0:7998", "http://127.0.0.1:7998"),
        ("http://[::]:7998", "http://[::1]:7998"),
        ("http://10.0.0.1:7998", "http://10.0.0.1:7998"),
    ],
)
def test_an_unspecified_address_is_shown_as_a_reachable_one(listening, shown):
    assert reachable(listening) == shown
