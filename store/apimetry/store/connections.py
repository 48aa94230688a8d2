"""Create clickhouse-connect's clients for a store's address."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ProgrammingError
from clickhouse_connect.driver.httpclient import HttpClient
from urllib3 import Timeout

from apimetry.store.address import StoreAddress
from apimetry.store.errors import StoreError, StoreLocked

CONNECT_TIMEOUT_S: Final = 5
# By default the engine looks at its memory twenty times a second: most of what it does when idle.
_ENGINE_OPTIONS: Final = "memory_worker_period_ms=500"


@contextlib.contextmanager
def without_arrow() -> Iterator[None]:
    """Keep chDB from importing pyarrow, which takes 35 MB, until `give_arrow`."""
    # chDB is imported once, before any other thread uses the store.
    is_hidden = not {"pyarrow", "chdb.state"} & sys.modules.keys()
    if is_hidden:
        # The import system takes None for a module that does not exist.
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if is_hidden:
            del sys.modules["pyarrow"]


def give_arrow() -> None:
    """Let chDB make Arrow's objects from now on."""
    from chdb.state import sqlitelike  # noqa: PLC0415 - only an embedded store has it

    sqlitelike.pa = importlib.import_module("pyarrow")  # type: ignore[attr-defined] # chDB is untyped


def embedded_client(address: StoreAddress, database: str | None, backups: Path | None = None) -> Client:
    """Return a client of the engine in this process; the engine may write and read backups in `backups`.

    Raises StoreLocked where another process owns the directory.
    """
    with without_arrow():
        return _embedded_client(address, database, backups)


def _embedded_client(address: StoreAddress, database: str | None, backups: Path | None) -> Client:
    options = f"?{_ENGINE_OPTIONS}" + (f"&backups.allowed_path={backups}" if backups is not None else "")
    try:
        return clickhouse_connect.get_client(
            interface="chdb",
            path=f"{address.path}{options}",
            database=database,
            tz_mode="aware",
            show_clickhouse_errors=True,
        )
    except ImportError as error:
        raise StoreError("the embedded store needs chDB: pip install 'apimetry[embedded]'") from error
    except ProgrammingError as error:
        raise StoreLocked(
            f"chDB cannot open {address.path}: another process has it open, or this one has another directory open"
        ) from error


def http_client(address: StoreAddress, database: str | None, receive_timeout_s: int) -> Client:
    """Return a client of a server; `receive_timeout_s` is the longest silence on its connections."""
    options: dict[str, Any] = {"compress": "false", **address.options}
    if address.password:
        # Otherwise a client's certificate would take the place of the password.
        options["tls_mode"] = "strict"
    return clickhouse_connect.get_client(
        interface=address.interface,
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        database=database,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=receive_timeout_s,
        tz_mode="aware",
        show_clickhouse_errors=True,
        autogenerate_session_id=False,
        # `is_transient` decides on a retry, and the caller retries, because the caller can wait.
        query_retries=0,
        dedicated_pool=True,
        client_name="apimetry",
        **options,
    )


@contextlib.contextmanager
def sending_patiently(client: Client, silence_s: int) -> Iterator[None]:
    """Let a server of a large body read nothing for `silence_s`: it stores a piece before it reads the next.

    Otherwise urllib3 bounds the sending by the time to connect.
    """
    if not isinstance(client, HttpClient):
        yield
        return
    usual, client.timeout = client.timeout, Timeout(connect=silence_s, read=silence_s)
    try:
        yield
    finally:
        client.timeout = usual
