"""Keep which of the store's hosts answer. Calls go to the first one that does, in the order of the store's URL.

A host whose connection failed is left out. A thread asks such hosts again: after 1 s, and then less often, after 30 s
at most. A host that answers is used again at once. With one host there is nothing to choose: every call asks it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from apimetry.store.address import StoreAddress

logger = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0


class Hosts:
    """The hosts of one store; any thread may use it.

    Mutable state, under `_lock`: the hosts that are away, and the thread that asks them.
    """

    def __init__(self, hosts: Sequence[StoreAddress], answers: Callable[[StoreAddress], bool]) -> None:
        """`answers` asks a host that was away, and returns whether it answers; it blocks."""
        self._hosts: Final = tuple(hosts)
        self._answers: Final = answers
        self._lock = threading.Lock()
        self._away: frozenset[StoreAddress] = frozenset()
        self._asking: threading.Thread | None = None
        self._closed = threading.Event()

    def in_order(self) -> list[StoreAddress]:
        """Return the hosts in the order to try them: those that are away stand last."""
        away = self._away
        return sorted(self._hosts, key=lambda host: host in away)

    def are_up(self) -> dict[str, bool]:
        """Return whether each server answered last, by host and port; one that nobody has asked counts as up."""
        away = self._away
        return {host.place: host not in away for host in self._hosts if host.path is None}

    def failed(self, host: StoreAddress) -> None:
        """Leave a host out until it answers again."""
        with self._lock:
            if host in self._away:
                return
            self._away |= {host}
            if len(self._hosts) > 1 and self._asking is None and not self._closed.is_set():
                self._asking = threading.Thread(target=self._ask_again, name="apimetry-hosts", daemon=True)
                self._asking.start()
        if len(self._hosts) > 1:
            logger.warning("the store's host %s is away", host.place)

    def answered(self, host: StoreAddress) -> None:
        """Use a host again."""
        if host not in self._away:
            return
        with self._lock:
            self._away -= {host}
        if len(self._hosts) > 1:
            logger.info("the store's host %s answers again", host.place)

    def close(self) -> None:
        """Ask no host any more."""
        self._closed.set()

    def _ask_again(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._closed.wait(wait_s):
            for host in self._away:
                if self._answers(host):
                    self.answered(host)
            with self._lock:
                if not self._away:
                    self._asking = None
                    return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
