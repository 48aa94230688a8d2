"""Build both images on bases that mmdebstrap makes, state their sizes, and run each as a user without rights.

    python -m tests.deploy.image [--work FOLDER] [BUILDAH_OPTION…]

No registry of images is asked. Further arguments go to `buildah build`: `--volume /etc/pip.conf:/etc/pip.conf:ro`
where an installation needs settings of this machine. It needs root, and ends with 0 where all of this holds:

- both images build, the page among them, and `server` has at most 120 MB;
- every compiled module in them loads, and the modules that print import;
- their commands run as the user 10001, who cannot write to the image, but to the data directory;
- `embedded` serves: its health check passes, it takes a batch, answers it, and ends with 0 at SIGTERM.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.services.ports import free_port
from tests.support.services.processes import BOOTSTRAP, post_events, total

ROOT = Path(__file__).parents[2]
USER = "10001"
MOST_SERVER_MB = 120
DEADLINE_S = 120
# What gcr.io/distroless/python3-debian12 has: Python and its libraries, and neither a shell nor a package manager.
RUNTIME = (
    "python3-minimal,python3.11-minimal,libpython3.11-stdlib,libstdc++6,libgcc-s1,netbase,tzdata,media-types,libssl3,"
    "libffi8,libbz2-1.0,liblzma5,libsqlite3-0,libuuid1,libexpat1,zlib1g,libcrypt1,libc6"
)
# Nor has it documents and translations.
LEFT_OUT = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "info", "lintian", "locale", "man")]
MERGED_USR = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
BASES = {
    "runtime": ["--variant=extract", f"--include={RUNTIME}", MERGED_USR, *LEFT_OUT],
    "build": ["--variant=minbase", "--include=binutils,python3-venv,ca-certificates"],
}
# `serve` uses those of the engine.
LOAD_ALL = """
import ctypes, pathlib, sysconfig
root = pathlib.Path(sysconfig.get_path("purelib"))
engine = {"chdb", "numpy", "pandas", "pyarrow"}
paths = [path for path in root.rglob("*.so") if path.relative_to(root).parts[0] not in engine]
for path in paths:
    ctypes.CDLL(str(path))
import apimetry.cli.tables, apimetry.cli.watching, apimetry.query_api.dashboard.files as files
assert (pathlib.Path(files.__file__).parent / "static" / "index.html").is_file()
print(len(paths), "compiled modules")
"""


class Images:
    """Buildah with a storage of its own in a folder."""

    def __init__(self, work):
        self._work = work
        self._buildah = ["buildah", "--root", f"{work}/store", "--runroot", f"{work}/run"]

    def __call__(self, *arguments):
        """Run buildah and return what it prints."""
        return subprocess.run(
            [*self._buildah, *arguments], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def make_base(self, name):
        """Make the image of a base, if it is not there from an earlier run."""
        archive = self._work / f"{name}.tar"
        if not archive.exists():
            partial = archive.with_name(f"partial-{name}.tar")
            subprocess.run(["mmdebstrap", *BASES[name], "bookworm", str(partial)], check=True)
            partial.rename(archive)
        container = self("from", "scratch")
        self("add", "--quiet", container, str(archive), "/")
        self("commit", "--quiet", "--rm", container, f"localhost/{name}")

    def build(self, target, options):
        """Build a target of the Dockerfile."""
        bases = ["--build-arg", "BASE=localhost/runtime", "--build-arg", "BUILD_BASE=localhost/build"]
        place = ["--file", str(ROOT / "deploy" / "Dockerfile"), "--target", target, "--tag", f"apimetry:{target}"]
        command = [*self._buildah, "build", "--isolation", "chroot", "--layers", *bases, *place, *options, str(ROOT)]
        subprocess.run(command, check=True)

    def size_mb(self, container):
        """Return the size of a container's files in MB of a million bytes."""
        mounted = self("mount", container)
        kilobytes = subprocess.run(["du", "-sk", mounted], check=True, capture_output=True, text=True).stdout.split()[
            0
        ]
        return int(kilobytes) * 1024 // 1_000_000

    def command(self, container, *command, **settings):
        """Return the command line that runs a command in a container, as the image's user."""
        variables = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        run = ["run", "--isolation", "chroot", "--user", f"{USER}:{USER}", *variables, container, "--"]
        return [*self._buildah, *run, *command]

    def run(self, container, *command, **settings):
        """Run a command in a container and return what it prints."""
        done = subprocess.run(
            self.command(container, *command, **settings), check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout


def check_rights(images, container):
    """Fail unless the image's user may write to the data directory alone."""
    script = (
        "import os; print([p for p in ('/', '/opt/apimetry', '/usr', '/var/lib/apimetry') if os.access(p, os.W_OK)])"
    )
    writable = images.run(container, "python3", "-c", script).strip()
    assert writable == "['/var/lib/apimetry']", writable


def check_serving(images, container):
    """Fail unless `serve` is healthy in the image, takes a batch, answers it, and ends with 0."""
    ports = {"APIMETRY_COLLECTOR_PORT": str(free_port()), "APIMETRY_QUERY_PORT": str(free_port())}
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    settings = {"APIMETRY_HOST": "127.0.0.1", **ports, **BOOTSTRAP}
    process = subprocess.Popen(images.command(container, "apimetry", "serve", **settings))
    try:
        health = images.command(container, "python", "/opt/apimetry/healthy.py", **ports)
        wait_until(lambda: subprocess.run(health, check=False).returncode == 0, process)
        event = {"timestamp": time.time(), "method": "GET", "url": "/", "status_code": 200}
        assert post_events(addresses["APIMETRY_COLLECTOR_PORT"], [event])[0] == 200
        wait_until(lambda: total(addresses["APIMETRY_QUERY_PORT"]) == 1, process)
        # buildah passes no signal on: the service is its child's child, and names itself in the lock of its store.
        pid = images.run(container, "python3", "-c", "print(open('/var/lib/apimetry/store/apimetry.lock').read())")
        subprocess.run(["kill", "-TERM", re.findall(r"\d+", pid)[0]], check=True)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def wait_until(condition, process):
    """Wait until a condition holds while the process lives."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None, "the service ended"
        assert time.monotonic() < deadline, "the service does not answer"
        time.sleep(0.5)


def main():
    """Run all steps; the exit code says whether they held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path)
    arguments, options = parser.parse_known_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="apimetry-image-"))
    work.mkdir(exist_ok=True)
    images = Images(work)
    for name in BASES:
        images.make_base(name)
    for target in ("server", "embedded"):
        images.build(target, options)
        container = images("from", f"localhost/apimetry:{target}")
        size_mb = images.size_mb(container)
        print(f"{target}: {size_mb} MB")
        assert target != "server" or size_mb <= MOST_SERVER_MB
        print(images.run(container, "apimetry", "--version").strip())
        print(images.run(container, "/opt/apimetry/bin/python", "-c", LOAD_ALL).strip())
        check_rights(images, container)
        if target == "embedded":
            check_serving(images, container)
        images("rm", container)
    print("both images hold what docs/deploying.md says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
