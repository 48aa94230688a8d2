"""The namespace rules of the house, and the built wheel in an environment of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ["middleware", "store", "serving", "collector", "query_api", "cli"]


def run(*command, cwd=None):
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=300)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_one_portion_of_the_namespace_package_and_nothing_else(room):
    importable = sorted(path.name for path in (ROOT / room).iterdir() if path.name != "__pycache__")
    assert importable == ["apimetry"]
    portion = ROOT / room / "apimetry"
    assert sorted(path.name for path in portion.iterdir() if path.name != "__pycache__") == [room]
    assert (portion / room / "py.typed").exists()


def test_the_rooms_of_the_test_are_the_rooms_of_the_house():
    rooms = sorted(path.parent.name for path in ROOT.glob("*/apimetry"))
    assert rooms == sorted(ROOMS)


def test_the_installed_package_adds_no_name_but_its_own_to_the_environment(tmp_path):
    names = run(
        sys.executable,
        "-c",
        f"import importlib.util\nprint([name for name in {ROOMS!r} if importlib.util.find_spec(name) is not None])",
        cwd=tmp_path,
    )
    assert names.stdout.strip() == "[]", names.stderr


@pytest.fixture(scope="module")
def wheel_environment(tmp_path_factory):
    """Python of a fresh environment that holds the built wheel and its one dependency."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    installed = run(str(python), "-m", "pip", "install", "--quiet", str(wheel))
    assert installed.returncode == 0, installed.stderr
    return python


def test_the_wheel_brings_msgpack_and_nothing_else(wheel_environment):
    listed = run(str(wheel_environment), "-m", "pip", "list", "--format=freeze")
    packages = {line.split("==")[0] for line in listed.stdout.splitlines()}
    assert packages - {"pip", "setuptools", "wheel"} == {"apimetry", "msgpack"}


def test_the_wheel_s_middleware_works_without_the_server_s_packages(wheel_environment, tmp_path):
    program = (
        "from apimetry.middleware.asgi import ASGIMiddleware\n"
        "from apimetry.middleware.wsgi import WSGIMiddleware\n"
        "app = WSGIMiddleware(lambda environ, start: start('200 OK', []) or [b'hi'])\n"
        "print(b''.join(app({'REQUEST_METHOD': 'GET', 'PATH_INFO': '/'}, lambda *a: None)))"
    )
    ran = run(str(wheel_environment), "-c", program, cwd=tmp_path)
    assert ran.stdout.strip() == "b'hi'", ran.stderr


def test_the_command_without_its_extra_says_in_one_sentence_which_one_to_install(wheel_environment):
    ran = run(str(wheel_environment.parent / "apimetry"), "serve")
    assert ran.returncode == 1
    (sentence,) = ran.stderr.splitlines()
    assert "apimetry[embedded]" in sentence


def test_hooks_before_a_commit_run_what_make_check_runs():
    hooks = re.findall(r"entry: (\S+) (\S*)", (ROOT / ".pre-commit-config.yaml").read_text())
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert hooks
    for command, verb in hooks:
        assert f"$(BIN)/{command.rpartition('/')[2]} {verb}".strip() in recipe[1]


def test_every_target_of_make_is_in_its_help():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    helped = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert targets == helped
