"""The state of the server that runs the host application."""

from __future__ import annotations

import importlib
import signal


class Host:
    """Know whether the host's server is stopping. The exporter's thread sets the one attribute.

    uvicorn ends itself by SIGTERM's default action, which runs no exit handler. Without a lifespan (Django has none)
    the middleware could not flush before that. But uvicorn's SIGTERM handler is a method of the server, and the
    server's `should_exit` becomes true while it drains, at least 0.1 s before its end. Reading it changes no handler.
    """

    __slots__ = ("is_stopping",)

    def __init__(self) -> None:
        self.is_stopping = False

    def look(self) -> bool:
        """Look again; True while the server is stopping."""
        server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        self.is_stopping = getattr(server, "should_exit", False) is True
        return self.is_stopping


def lacks_threads() -> bool:
    """Return whether the server is uWSGI without ``--enable-threads``, which runs no threads of Python."""
    try:
        options = importlib.import_module("uwsgi").opt  # the module exists inside uWSGI alone
    except (ImportError, AttributeError):
        return False
    names = {key.decode() if isinstance(key, bytes) else key for key in options}
    return names.isdisjoint({"enable-threads", "threads"})
