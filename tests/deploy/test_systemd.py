"""The systemd units: systemd accepts them, little is exposed, and they name commands and settings that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.services.processes import APIMETRY
from tests.support.tools import program

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
ANALYZE, with_systemd = program("systemd-analyze", "apt-get install systemd")
# systemd's own scale, times ten: 0 is closed, 100 is open. Below 20 it says "OK".
MOST_EXPOSED = 20
every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def value(unit, name):
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def analyze(*arguments):
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_each_service_has_a_unit():
    assert [unit.stem for unit in UNITS] == ["apimetry-collector", "apimetry-query", "apimetry-serve"]


@with_systemd
@every_unit
def test_systemd_accepts_the_unit_without_a_warning(unit, tmp_path):
    here = tmp_path / unit.name
    # systemd asks whether the program is there: it is in this environment.
    here.write_text(unit.read_text().replace("/opt/apimetry/bin/apimetry", str(APIMETRY)))
    result = analyze("verify", "--man=no", str(here))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@with_systemd
@every_unit
def test_little_is_exposed_by_the_unit(unit):
    result = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert result.returncode == 0, result.stdout


@every_unit
def test_the_unit_starts_a_command_that_exists(unit):
    (start,) = value(unit, "ExecStart")
    command = start.split()[1:]
    assert command == [unit.stem.removeprefix("apimetry-")]
    subprocess.run([APIMETRY, *command, "--help"], check=True, capture_output=True, timeout=60)


@every_unit
def test_the_unit_waits_for_the_notification_that_the_service_sends(unit):
    assert value(unit, "Type") == ["notify"]
    assert value(unit, "TimeoutStartSec") == ["infinity"]
    assert value(unit, "WatchdogSec") == []


def test_serve_notifies_when_it_answers(service, notifications):
    assert service.query_url
    service.wait_until(lambda: "READY=1" in notifications(), "notification")


@every_unit
def test_data_lie_where_the_unit_may_write(unit):
    (directory,) = value(unit, "StateDirectory")
    assert value(unit, "Environment") == [f"APIMETRY_DATA_DIR=/var/lib/{directory}"]
    assert value(unit, "WorkingDirectory") == [f"/var/lib/{directory}"]
