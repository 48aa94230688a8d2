"""Locked versions for an installation of the services, the list of them (SBOM), and their audit.

`lock` writes `requirements.lock`, every version with its hashes, and `sbom.cdx.json`, the same versions as CycloneDX.
`audit` asks pip-audit for known vulnerabilities of the locked versions, and fails where there is one. Where no list
of vulnerabilities can be reached, it says so and passes: a build without a network stays possible.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
SBOM = HERE / "sbom.cdx.json"
# The oldest Python that such an installation may have. Hosts of the middleware go back further.
OLDEST_PYTHON = "3.11"


def lock() -> None:
    """Resolve the newest versions that pyproject.toml allows, and write both files."""
    resolve = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    files = ["--extra", "embedded", str(HERE.parent / "pyproject.toml"), "--output-file", str(LOCK)]
    # No addresses of indexes: whoever installs has indexes of their own.
    _run([*resolve, "--upgrade", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", *files])
    listing = _run(["cyclonedx-py", "requirements", str(LOCK), "--output-reproducible", "--output-format", "JSON"])
    SBOM.write_text(json.dumps(without_addresses(json.loads(listing)), indent=1, sort_keys=True) + "\n")


def without_addresses(bom: dict[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX document with what was locked, and without where it was fetched."""
    members = ("name", "purl", "type", "version")
    components = [{"bom-ref": part["purl"]} | {name: part[name] for name in members} for part in bom["components"]]
    return {
        "bomFormat": bom["bomFormat"],
        "specVersion": bom["specVersion"],
        "version": bom["version"],
        "components": components,
    }


def audit() -> int:
    """Print the known vulnerabilities of the locked versions; return 1 where there are any, else 0."""
    command = ["pip-audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes", "--format", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: not done: {(done.stderr.strip().splitlines() or ['pip-audit said nothing'])[-1]}")
        return 0
    return judge(packages)


def judge(packages: list[dict[str, Any]]) -> int:
    """Print what pip-audit says of packages; return 1 where one has a known vulnerability, else 0."""
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        names = ", ".join(vulnerability["id"] for vulnerability in package["vulns"])
        print(f"audit: {package['name']} {package['version']} has known vulnerabilities: {names}")
    skipped = sum("skip_reason" in package for package in packages)
    if skipped:
        print(f"audit: {skipped} of {len(packages)} versions NOT checked: no list that can be reached knows them")
    if skipped < len(packages):
        print(f"audit: {len(packages) - skipped} versions checked, {len(vulnerable)} vulnerable")
    return 1 if vulnerable else 0


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    commands = {"lock": lock, "audit": audit}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit("usage: python deploy/supply_chain.py lock|audit")
    sys.exit(commands[sys.argv[1]]())
