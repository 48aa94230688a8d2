"""The process of a ClickHouse server for tests: the engine, and the proxy with the faults in front of it.

    python -m tests.support.engine.clickhouse_process LIBRARY DIRECTORY [--port N] [--proxy-port N] …

It prints the ports of the engine, of the proxy and of its control once the engine answers, and ends with its parent.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import threading
import time
import urllib.request
from pathlib import Path

from tests.support.engine.fault_proxy import start_proxy
from tests.support.services.ports import free_port

# The engine's listeners live as long as its last statement.
_LISTEN_TCP = "SYSTEM START LISTEN TCP;\n"
_STATEMENTS = """SYSTEM START LISTEN HTTP;
SELECT sleepEachRow(1) FROM numbers(864000)
SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0 FORMAT Null;
"""
_CONFIGURATION = """<clickhouse>
  <logger><level>none</level></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <tcp_port>{tcp_port}</tcp_port>
  <users_config>{directory}/users.xml</users_config>
  <backups><allowed_path>{directory}/backups</allowed_path></backups>
  <database_atomic_delay_before_drop_table_sec>0</database_atomic_delay_before_drop_table_sec>
  {more}
</clickhouse>
"""
_USERS = """<clickhouse>
  <profiles><default>
    <fsync_metadata>0</fsync_metadata>
    <distributed_product_mode>global</distributed_product_mode>
    <distributed_foreground_insert>1</distributed_foreground_insert>
  </default>{profiles}</profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/><profile>default</profile><quota>default</quota>
    <networks><ip>127.0.0.1</ip></networks>
  </default>{users}</users>
</clickhouse>
"""


def run_engine(options: argparse.Namespace, port: int) -> None:
    """Run the engine in this thread until its statements end, which they do not in a test run."""
    directory = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    configuration, statements = directory / "config.xml", directory / "statements.sql"
    configuration.write_text(
        _CONFIGURATION.format(port=port, tcp_port=options.tcp_port, directory=directory, more=options.configuration)
    )
    (directory / "users.xml").write_text(_USERS.format(users=options.users, profiles=options.profiles))
    statements.write_text((_LISTEN_TCP if options.tcp_port else "") + _STATEMENTS)
    run = ctypes.CDLL(options.library).chdb_query_cmdline
    run.restype = ctypes.c_void_p
    arguments = [
        *("clickhouse", f"--config-file={configuration}", f"--path={directory}/data"),
        f"--queries-file={statements}",
    ]
    run(len(arguments), (ctypes.c_char_p * (len(arguments) + 1))(*map(str.encode, arguments), None))


def main() -> None:
    """Serve until killed, or until the parent is gone."""
    options = argparse.ArgumentParser()
    options.add_argument("library")
    options.add_argument("directory", type=Path)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--proxy-port", type=int, default=0)
    options.add_argument("--tcp-port", type=int, default=0, help="for the other nodes of a cluster")
    options.add_argument("--peers", type=int, nargs="*", default=[], help="HTTP ports of all nodes of the cluster")
    options.add_argument("--configuration", default="", help="more of ClickHouse's XML")
    options.add_argument("--profiles", default="", help="more profiles of settings, as ClickHouse's XML")
    options.add_argument("--users", default="", help="more users, as ClickHouse's XML")
    arguments = options.parse_args()
    port = arguments.port or free_port()
    threading.Thread(target=_watch, args=(port, arguments, os.getppid()), daemon=True).start()
    run_engine(arguments, port)


def _watch(port: int, arguments: argparse.Namespace, parent: int) -> None:
    while not _answers(port):
        time.sleep(0.02)
    print(port, *start_proxy(port, arguments.proxy_port, arguments.peers), flush=True)
    while os.getppid() == parent:  # a killed test run leaves no server behind
        time.sleep(1)
    os._exit(0)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
