"""What the exporter sees of the server it runs under."""

from __future__ import annotations

import importlib
import signal


class Host:
    """Whether the host's server is stopping. Its one attribute is set by the exporter's thread.

    uvicorn ends itself by SIGTERM's default action, which no exit handler survives; without a lifespan (Django has
    none) nothing of ours would run before it. But its SIGTERM handler is a method of the server, whose `should_exit`
    says that it drains: at least 0.1 s before its end. Looking at it leaves the handlers alone.
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
    """Tell whether this is uWSGI without ``--enable-threads``, under which no thread of Python's ever runs."""
    try:
        options = importlib.import_module("uwsgi").opt  # it exists inside uWSGI alone
    except (ImportError, AttributeError):
        return False
    given = {key.decode() if isinstance(key, bytes) else key for key in options}
    return given.isdisjoint({"enable-threads", "threads"})
