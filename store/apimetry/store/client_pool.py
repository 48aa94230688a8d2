"""Lend clients of the store's hosts to calls, and go on to the next host where one fails.

A clickhouse-connect client serializes its calls. So every call borrows a client for itself: there are as many clients
as concurrent calls, and idle clients are reused. Clients have no session, so a balancer may send every call to
another replica.

The store's URL may name several nodes of a cluster. A call goes to the first that answers (`hosts`). Where a host
fails, a call that may run twice goes on to the next. Any other call does only where it certainly did not reach the
failed host: it may have run there.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Final, TypeVar

from clickhouse_connect.driver.client import Client

from apimetry.store.address import StoreAddress
from apimetry.store.connections import embedded_client, http_client
from apimetry.store.errors import StoreError, StoreUnavailable, map_error, may_go_on
from apimetry.store.hosts import Hosts

T = TypeVar("T")

logger = logging.getLogger(__name__)

# The longest silence of a host that is asked whether it is back.
_ASK_AGAIN_TIMEOUT_S: Final = 5


class ClientPool:
    """The clients of one store, which threads borrow for their calls.

    Mutable state, under `_lock`: the idle clients, and why no client is lent.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        cluster: str | None,
        most_idle: int,
        receive_timeout_s: int,
        backups: Path | None,
    ) -> None:
        self.hosts: Final = Hosts(address.each(), self._answers)
        self.receive_timeout_s: Final = receive_timeout_s
        self._address: Final = address
        self._cluster: Final = cluster
        self._most_idle: Final = most_idle
        # An embedded engine may write and read backups in this folder alone.
        self._backups: Final = backups
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        # No call uses it: chDB's engine stops with its last client.
        self._kept_open: Client | None = None
        self._why_closed: str | None = "the store is not available yet"

    def open(self) -> None:
        """Connect to the first host that answers, create the database if it is missing, and lend clients from now on.

        Raises StoreUnavailable when no host answers.
        """
        first = self._try_hosts(self._first_client)
        with self._lock:
            if self._embedded:
                self._kept_open = first
            else:
                self._idle.append(first)
            self._why_closed = None

    def refuse_calls(self, reason: str) -> None:
        """Lend no client any more; clients that are lent stay usable."""
        with self._lock:
            self._why_closed = reason

    def close_clients(self) -> None:
        """Close the clients that are not lent; the embedded engine ends with them."""
        with self._lock:
            clients, self._idle = self._idle, []
            if self._kept_open is not None:
                clients.append(self._kept_open)
                self._kept_open = None
        for client in clients:
            client.close()

    @property
    def is_open(self) -> bool:
        """Return whether clients are lent."""
        return self._why_closed is None

    def check_open(self) -> None:
        """Raise StoreUnavailable where no client is lent."""
        if self._why_closed is not None:
            raise StoreUnavailable(self._why_closed)

    def call(self, function: Callable[[Client], T], *, repeats: bool, inserting: bool = False) -> T:
        """Return what `function` returns with a client of the first host that answers.

        `repeats` says whether a call that may have run at one host may run at the next. `inserting` says that the
        call sends rows. Raises the store's exceptions (`errors`).
        """
        return self._try_hosts(lambda host: self._call_at(host, function, inserting=inserting), repeats=repeats)

    def stream(self, pieces: Callable[[Client], Iterator[bytes]]) -> Generator[bytes, None, None]:
        """Yield the pieces of the first host that answers; a stream that has begun is not begun again.

        `pieces` owns its client and closes it.
        """
        *others, last = self.hosts.in_order()
        for host in (*others, last):
            has_begun = False
            try:
                for piece in pieces(self._connect(host, self._address.database)):
                    has_begun = True
                    yield piece
            except StoreUnavailable as error:
                if has_begun or host is last or not may_go_on(error, repeats=True):
                    raise
            else:
                return

    def call_each_host(self, function: Callable[[Client], T]) -> dict[str, T]:
        """Return what `function` returns at every host that answers, by host and port; its client has no database."""
        results = {}
        for host in self._address.each():
            with contextlib.suppress(StoreUnavailable):
                client = self._connect(host, None)
                try:
                    results[host.place] = function(client)
                except Exception as error:
                    raise self._mapped(error, host) from error
                finally:
                    client.close()
        return results

    @property
    def _embedded(self) -> bool:
        return self._address.path is not None

    def _try_hosts(self, call: Callable[[StoreAddress], T], *, repeats: bool = True) -> T:
        *others, last = self.hosts.in_order()
        for host in others:
            try:
                return call(host)
            except StoreUnavailable as error:
                if not may_go_on(error, repeats=repeats):
                    raise
        return call(last)

    def _call_at(self, host: StoreAddress, function: Callable[[Client], T], *, inserting: bool) -> T:
        client = self._borrow(host)
        try:
            result = function(client)
        except Exception as error:
            if self._embedded:
                # After a result that broke off, chDB may give its rest to the client's next statement.
                client.close()
            else:
                self._give_back(client)
            raise self._mapped(error, host, inserting=inserting) from error
        self._give_back(client)
        self.hosts.answered(host)
        return result

    def _mapped(self, error: Exception, host: StoreAddress, *, inserting: bool = False) -> StoreError:
        """Return the store's exception, after the host was left out where its connection failed."""
        mapped = map_error(error, inserting=inserting)
        if isinstance(mapped, StoreUnavailable) and mapped.code is None:
            self.hosts.failed(host)
        return mapped

    def _borrow(self, host: StoreAddress) -> Client:
        with self._lock:
            self.check_open()
            for client in reversed(self._idle):
                if self._embedded or client.uri == host.uri:
                    self._idle.remove(client)
                    return client
        return self._connect(host, self._address.database)

    def _give_back(self, client: Client) -> None:
        with self._lock:
            if self._why_closed is None and len(self._idle) < self._most_idle:
                self._idle.append(client)
                return
        client.close()

    def _first_client(self, host: StoreAddress) -> Client:
        """Return a client of the database, and create the database if it is missing."""
        client = self._connect(host, None)
        database = self._address.database
        try:
            ((databases,),) = client.query(
                "SELECT count() FROM system.databases WHERE name = {database:String}",
                parameters={"database": database},
            ).result_rows
            if not databases:
                on_cluster = f" ON CLUSTER '{self._cluster}'" if self._cluster else ""
                client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`{on_cluster}")
        except Exception as error:
            client.close()
            raise self._mapped(error, host) from error
        client.database = database
        return client

    def _connect(self, host: StoreAddress, database: str | None) -> Client:
        try:
            if self._embedded:
                return embedded_client(host, database, self._backups)
            return http_client(host, database, self.receive_timeout_s)
        except Exception as error:
            mapped = self._mapped(error, host)
            if isinstance(mapped, StoreUnavailable):
                mapped.was_sent = False
            raise mapped from error

    def _answers(self, host: StoreAddress) -> bool:
        """Return whether a host that was away takes statements again."""
        try:
            http_client(host, self._address.database, _ASK_AGAIN_TIMEOUT_S).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the host is not used
            logger.debug("the store's host %s is still away: %s", host.place, map_error(error, inserting=False))
            return False
        return True
