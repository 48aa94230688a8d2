"""Which of our middlewares records a request: the outermost. What only an inner part could see, it finds here.

While a request lasts, its scope or environ has the outermost's exchange under `MARK`, so that a copy of either has it
too. An application of WSGI inside one of ASGI gets an environ that is made anew: there a context variable tells.
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


class Findings(Protocol):
    """What the exchange of an outermost middleware takes of what is found out while its request is served.

    Attributes:
        path: the request's, as the outermost got it.
        found_error: the class of an exception that the framework answered by itself; empty if there was none.
        found_names: the route and the function that an inner middleware of ours has found; None if there was none.
    """

    path: str
    found_error: str
    found_names: Names | None


served: Final[ContextVar[Findings | None]] = ContextVar("apimetry.served", default=None)
"""The ASGI request that is being served; kept only where `wsgi_in_use`, as whatever task it starts keeps it too."""

wsgi_in_use: Final[set[str]] = set()
"""What takes requests of WSGI in this process, once a middleware for it is made; empty in most that serve ASGI."""


def find_around(environ: Mapping[str, Any]) -> Findings | None:
    """Return the ASGI request that a request of WSGI is, or None: this one is another, or no ASGI is around it."""
    findings = served.get()
    # Another path is another request, such as one that a view makes to an application in its own process.
    if findings is None or not findings.path.endswith(as_text(environ.get("PATH_INFO", ""))):
        return None
    return findings


def note_error(carrier: Mapping[str, Any], error: BaseException) -> None:
    """Tell whoever records the request of a scope or an environ which exception the framework has answered."""
    findings: Findings | None = carrier.get(MARK)
    if findings is not None:
        findings.found_error = error_name(error)
