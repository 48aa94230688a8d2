"""The frameworks' own test suites, bare and with the middleware around every application: nothing may change.

    python -m tests.host_suites [--folder FOLDER] [--suites flask,django]

Their source distributions and what their tests need come from the package index into FOLDER, which is used again.
A test that passes bare and fails with the middleware, but for those of `KNOWN`, is printed and makes the exit status
1, as does a fault that the middleware logged. Tests that fail bare, for want of a package or a network, tell nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.support.services.fake_collector import FakeCollector
from tests.support.services.keys import WRITE_KEY

ROOT = Path(__file__).resolve().parents[2]
SUITES = {
    "flask": ["tests"],
    "werkzeug": ["tests"],
    "starlette": ["tests"],
    "fastapi": ["tests"],
    "django": [
        *("test_client", "test_client_regress", "handlers", "asgi", "wsgi", "middleware", "middleware_exceptions"),
        *("requests_tests", "httpwrappers", "urlpatterns", "urlpatterns_reverse", "view_tests", "csrf_tests"),
        *("conditional_processing", "file_uploads", "servers", "staticfiles_tests", "async", "decorators"),
        *("generic_views", "sessions_tests", "signed_cookies_tests", "responses", "logging_tests", "auth_tests"),
    ],
}
REQUIREMENTS = [
    *("flask", "werkzeug", "starlette[full]", "fastapi[standard]", "django", "pytest", "pytest-timeout"),
    *("anyio[trio]", "httpx", "httpx2", "asgiref", "greenlet", "python-dotenv", "dirty-equals", "inline-snapshot"),
    *("pyjwt", "pwdlib[argon2]", "sqlmodel", "orjson", "blockbuster", "ephemeral-port-reserve", "cryptography"),
    *(
        "watchdog",
        "pyyaml",
        "strawberry-graphql",
        "pytest-codspeed",
        "importlib-metadata",
        "pytest-xdist",
        "coverage",
    ),
    *("logfire", "opentelemetry-instrumentation-fastapi", "ujson", "a2wsgi"),
]
# ``app.wsgi_app = WSGIMiddleware(app.wsgi_app)`` is a cycle until the first request shows that it is one, and this
# test's application never gets a request: the cycle collector frees it. After a request, zero references do.
KNOWN = {"tests.test_basic::test_app_freed_on_zero_refcount"}
OWN_REQUIREMENTS = {"flask": ["pytest<9"]}  # its conftest reaches into pytest


def prepare(folder: Path) -> Path:
    """Make an environment with the frameworks; the path of its Python."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", str(folder / "venv"))
        run(str(python), "-m", "pip", "install", "--quiet", str(ROOT), *REQUIREMENTS)
    run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(ROOT))
    return python


def add_own(suite: str, folder: Path, python: Path) -> str:
    """Install what a suite alone needs, to be imported before the rest; its folder."""
    target = folder / f"for-{suite}"
    if suite in OWN_REQUIREMENTS and not target.exists():
        run(str(python), "-m", "pip", "install", "--quiet", "--target", str(target), *OWN_REQUIREMENTS[suite])
    return str(target)


def unpack(suite: str, folder: Path, python: Path) -> Path:
    """Unpack a framework's source distribution, of the installed version; its folder."""
    code = f"import importlib.metadata as m; print(m.version({suite!r}))"
    version = subprocess.check_output([python, "-c", code], text=True).strip()
    if not (folders := sorted(folder.glob(f"{suite}-{version}*/"))):
        where = ("--no-deps", "--no-binary", ":all:", "-d", str(folder))
        run(str(python), "-m", "pip", "download", "--quiet", *where, f"{suite}=={version}")
        with tarfile.open(next(folder.glob(f"{suite}-{version}*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        folders = sorted(folder.glob(f"{suite}-{version}*/"))
    return folders[0]


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def run_suite(suite: str, folder: Path, python: Path, environment: dict[str, str]) -> tuple[set[str], set[str]]:
    """Run a suite; the names of its tests that passed, and of those that failed."""
    source, own = unpack(suite, folder, python), add_own(suite, folder, python)
    around = Path(__file__).with_name("apimetry_around.py")
    is_wrapped = "APIMETRY_FAULTS" in environment
    environment = {**os.environ, **environment, "APIMETRY_SUITE": suite, "PYTHONPATH": f"{around.parent}:{own}"}
    if suite == "django":
        runner = [str(around)] if is_wrapped else []
        command = [*runner, "runtests.py", "--parallel=1", "--verbosity=2", *SUITES[suite]]
        done = subprocess.run(
            [python, *command],
            cwd=source / "tests",
            env=environment,
            check=False,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        return read_unittest(done.stderr)
    report = source / "report.xml"
    plugin = ["-p", "apimetry_around"] if is_wrapped else []
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        "--timeout=120",
        "--continue-on-collection-errors",
    ]
    subprocess.run(
        [python, "-m", "pytest", *plugin, *options, *SUITES[suite]],
        cwd=source,
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return read_junit(report)


def read_junit(report: Path) -> tuple[set[str], set[str]]:
    passed, failed = set(), set()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed.add(name)
        elif "skipped" not in outcomes:
            passed.add(name)
    return passed - failed, failed


def read_unittest(output: str) -> tuple[set[str], set[str]]:
    failed = set(re.findall(r"^(?:FAIL|ERROR): (\w+ \(\S+\))", output, re.MULTILINE))
    named = set(re.findall(r"^(\w+ \(\S+\))", output, re.MULTILINE))
    return named - failed, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "apimetry-host-suites")
    parser.add_argument("--suites", default=",".join(SUITES))
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    python = prepare(folder)
    faults, is_changed = folder / "faults.log", False
    faults.write_text("")
    for suite in arguments.suites.split(","):
        passed, failed = run_suite(suite, folder, python, {})
        with FakeCollector() as collector:
            environment = {"APIMETRY_COLLECTOR_URL": collector.url, "APIMETRY_WRITE_KEY": WRITE_KEY}
            passed_around, _ = run_suite(suite, folder, python, {**environment, "APIMETRY_FAULTS": str(faults)})
            changed = sorted(passed - passed_around - KNOWN)
            print(
                f"{suite}: {len(passed)} pass bare, {len(failed)} fail; with the middleware {len(changed)} more,",
                end="",
            )
            print(f" {len(collector.events)} events", *changed, sep="\n  ", flush=True)
        is_changed = is_changed or bool(changed)
    print(faults.read_text(), end="")
    return 1 if is_changed or faults.read_text() else 0


if __name__ == "__main__":
    sys.exit(main())
