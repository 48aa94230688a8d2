"""The image's versions: locked with hashes, listed, and judged."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("supply_chain", ROOT / "deploy" / "supply_chain.py")
assert spec is not None
assert spec.loader is not None
supply_chain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(supply_chain)


def locked() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", supply_chain.LOCK.read_text(), re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


def normal(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace(".", "-").replace("_", "-")


def test_every_package_that_the_server_needs_is_locked():
    # The image has no demo.
    needed = [line for line in importlib.metadata.requires("apimetry") or [] if not re.search("extra == .demo", line)]
    older = {normal(line) for line in needed if "python_version < '3.11'" in line}
    assert {normal(line) for line in needed} - older - {"apimetry"} <= set(locked())
    assert "chdb" in locked()


def test_every_locked_version_has_hashes():
    pins = supply_chain.LOCK.read_text().split("\n")
    starts = [at for at, line in enumerate(pins) if "==" in line]
    assert starts
    assert all("--hash=sha256:" in pins[at + 1] for at in starts)


def test_the_list_of_the_image_names_exactly_what_is_locked():
    components = json.loads(supply_chain.SBOM.read_text())["components"]
    listed: dict[str, set[str]] = {}
    for component in components:
        listed.setdefault(component["name"], set()).add(component["version"])
    assert listed == locked()


def test_neither_file_says_where_packages_are_fetched():
    assert "://" not in supply_chain.LOCK.read_text() + supply_chain.SBOM.read_text()


@pytest.mark.parametrize(
    ("packages", "code", "verdict"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 versions checked, 0 vulnerable"),
        ([{"name": "a", "skip_reason": "not found"}], 0, "1 of 1 versions NOT checked"),
        ([{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}], 1, "a 1 has known vulnerabilities: PYSEC-1"),
    ],
)
def test_an_audit_says_what_it_checked_and_fails_on_a_vulnerability_alone(packages, code, verdict, capsys):
    assert supply_chain.judge(packages) == code
    assert verdict in capsys.readouterr().out
