"""Programs and packages that check files for operators. Where one is missing, its tests are skipped by name."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# In CI a missing tool is a failure: no check may vanish unnoticed.
REQUIRED = bool(os.environ.get("APIMETRY_TEST_REQUIRE_DEPLOY_TOOLS"))
BESIDE_PYTHON = str(Path(sys.executable).parent)


def program(name, how):
    """Return the path of a program, of this environment or the system, and the mark for tests that need it."""
    path = shutil.which(name, path=f"{BESIDE_PYTHON}:{os.environ['PATH']}:/usr/sbin")
    return path, _needs(name, path is not None, how)


def package(name, how):
    """Return the mark for tests that import a package."""
    return _needs(name, importlib.util.find_spec(name) is not None, how)


def _needs(name, present, how):
    return pytest.mark.skipif(not present and not REQUIRED, reason=f"{name} is not installed: {how}")


def accepted(*command, **options):
    """Run a check, fail with what it says unless it ends with 0, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
