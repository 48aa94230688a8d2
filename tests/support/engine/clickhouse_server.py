"""A real ClickHouse server in a process of its own, which can be killed, restarted and told to fail.

The engine is `libchdb.so` of the npm package in `server/`, which `make test` fetches: ClickHouse's own HTTP interface
over ClickHouse's own storage. Faults come from a proxy in front of it (`fault_proxy`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.engine.fault_proxy import FAULTS

LIBRARY = Path(__file__).with_name("server") / "node_modules" / "@chdb" / "lib-linux-x64-gnu" / "libchdb.so"
IS_REQUIRED = os.environ.get("APIMETRY_TEST_REQUIRE_CLICKHOUSE") == "1"

_TESTER = (
    "<tester><password>{password}</password><profile>default</profile><quota>default</quota>"
    "<networks><ip>127.0.0.1</ip></networks></tester>"
)


def require_library() -> None:
    """Skip the test by name where the engine was not fetched; with APIMETRY_TEST_REQUIRE_CLICKHOUSE=1 fail it."""
    if LIBRARY.exists():
        return
    reason = f"no ClickHouse server: {LIBRARY} is missing (`make test` fetches it on Linux with x86-64)"
    if IS_REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Node:
    """What a server needs to be a node of a cluster: its ports, every node's HTTP port, and the cluster's XML."""

    port: int
    tcp_port: int
    peers: tuple[int, ...]
    configuration: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the options of the server's process."""
        peers = map(str, self.peers)
        return ("--tcp-port", str(self.tcp_port), "--configuration", self.configuration, "--peers", *peers)


class ClickHouseServer:
    """A server that runs: `url(database)` for stores, and the ways to hurt it."""

    def __init__(
        self, directory: Path, *, password: str = "", node: Node | None = None, users: str = "", profiles: str = ""
    ) -> None:
        self._directory = directory
        self._password = password
        # The engine's own statements run as `default`, which has no password.
        self._users = users + (_TESTER.format(password=password) if password else "")
        self._profiles = profiles
        self._node = node
        self._process: subprocess.Popen[bytes] | None = None
        self._port = node.port if node else 0
        self._proxy_port = 0
        self._control_port = 0

    def start(self) -> None:
        """Start it and wait until it answers; on the same ports after the first time."""
        require_library()
        self._process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "tests.support.engine.clickhouse_process",
                    str(LIBRARY),
                    str(self._directory),
                ),
                *("--port", str(self._port), "--proxy-port", str(self._proxy_port)),
                *("--users", self._users, "--profiles", self._profiles),
                *(self._node.arguments if self._node else ()),
            ],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the ClickHouse server for tests ended with status {self._process.wait()}")
        self._port, self._proxy_port, self._control_port = map(int, line.split())

    def kill(self) -> None:
        """As kill -9; connections are then refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again over the same data, on the same ports."""
        self.kill()
        self.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """Return a store's URL for one database of it; its statements meet the faults."""
        user = f"tester:{self._password}@" if self._password else ""
        return f"clickhouse://{user}127.0.0.1:{self._proxy_port}/{database}"

    def engine_url(self, database: str) -> str:
        """Return a store's URL of the engine itself: no faults, and no statements ON CLUSTER."""
        return f"clickhouse://127.0.0.1:{self._port}/{database}"

    def fault(
        self,
        kind: str,
        *,
        count: int = 1,
        statement: str = "",
        status: int = 500,
        code: int | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Apply one fault to the next `count` statements that start with `statement` (any: empty).

        refuse: the connection is reset before the statement runs. hang: no answer until the faults are cleared.
        reset_after_commit: the statement runs, then the connection is reset. status: not run, answered with `status`
        and ClickHouse's error `code`. delay: run after `seconds`. slow: run, answered over `seconds`. cut: the answer
        ends in its middle with a reset. broken: the answer ends in its middle with the text of an error, as older
        servers end it. first_node: a statement ON CLUSTER runs on the first node alone, then the connection is reset.
        """
        assert kind in FAULTS
        fault = {"kind": kind, "count": count, "statement": statement, "status": status, "code": code}
        self._control("/fault", {**fault, "seconds": seconds})

    def clear_faults(self) -> None:
        """End every fault, those that hang too."""
        self._control("/clear", {})

    def seen(self) -> Counter[str]:
        """Return the number of statements by their first word, and of faults that hit, as `fault KIND`."""
        return Counter(self._control("/seen", {}))

    def drop(self, database: str) -> None:
        """Drop one test's database."""
        statement = quote(f"DROP DATABASE IF EXISTS `{database}`")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/?query={statement}",
            data=b"",
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            response.read()

    def _control(self, path: str, payload: dict[str, object]) -> dict[str, int]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._control_port}{path}", json.dumps(payload).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
