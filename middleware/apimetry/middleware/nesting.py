"""Let the outermost of several nested middlewares record a request, with the facts that only inner layers see.

While a request lasts, its scope or environ holds the outermost exchange under `MARK`. A copy of the scope or of the
environ holds it too. A WSGI application inside an ASGI application gets a new environ: a context variable leads from
there to the outermost exchange.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from apimetry.middleware.environs import as_text
from apimetry.middleware.errors import error_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apimetry.middleware.routes import Names

MARK: Final = "apimetry.findings"


class OuterExchange(Protocol):
    """The exchange of the outermost middleware, as inner layers see it.

    Attributes:
        path: the path that the outermost middleware received.
        handled_error: the class of an exception that the framework turned into a response; empty without one.
        inner_names: the route and the function, by an inner middleware; None without one.
    """

    path: str
    handled_error: str
    inner_names: Names | None


served: Final[ContextVar[OuterExchange | None]] = ContextVar("apimetry.served", default=None)
"""The ASGI request that is being served. Set only if `wsgi_in_use`: every task that the request starts keeps it."""

wsgi_in_use: Final[set[str]] = set()
"""The kinds of middleware in this process that take WSGI requests; empty in most processes that serve ASGI."""

asgi_in_use: Final[set[str]] = set()
"""Likewise of ASGI: without it, no WSGI request is part of an ASGI request."""


def find_around(environ: Mapping[str, Any]) -> OuterExchange | None:
    """Return the exchange of the ASGI request that a WSGI request is part of, or None."""
    exchange = served.get()
    # Another path is another request, such as one that a view makes to an application in its own process.
    if exchange is None or not exchange.path.endswith(as_text(environ.get("PATH_INFO", ""))):
        return None
    return exchange


def note_error(carrier: Mapping[str, Any], error: BaseException) -> None:
    """Note the class of an exception that the framework turns into a response, where the request is recorded.

    Args:
        carrier: the request's scope or environ.
        error: the exception.
    """
    exchange: OuterExchange | None = carrier.get(MARK)
    if exchange is not None:
        exchange.handled_error = error_name(error)
