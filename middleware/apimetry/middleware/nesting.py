"""Which of our middlewares records a request: the outermost. What only an inner part could see, it finds here.

While a request lasts, its scope or environ has the outermost's `Findings` under `MARK`, so that a copy of either has
them too. An application of WSGI inside one of ASGI gets an environ that is made anew: there a context variable tells.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from apimetry.middleware.environs import as_text
from apimetry.middleware.errors import error_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apimetry.middleware.routes import Names

MARK: Final = "apimetry.findings"


class Findings:
    """What is found out about a request while it is served; for the one who records it.

    Attributes:
        path: the request's, as the outermost got it.
        error_type: the class of an exception that the framework answered by itself; empty if there was none.
        names: the route and the function that an inner middleware of ours has found; None if there was none.
    """

    __slots__ = ("error_type", "names", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.error_type = ""
        self.names: Names | None = None


served: Final[ContextVar[Findings | None]] = ContextVar("apimetry.served", default=None)
"""The findings of the ASGI request that is being served."""


def find_outer(environ: Mapping[str, Any]) -> Findings | None:
    """Return the findings of the middleware around one of WSGI, which records the request; None: this one does."""
    findings: Findings | None = environ.get(MARK)
    if findings is None:
        findings = served.get()
        # Another path is another request, such as one that a view makes to an application in its own process.
        if findings is not None and not findings.path.endswith(as_text(environ.get("PATH_INFO", ""))):
            return None
    return findings


def note_error(carrier: Mapping[str, Any], error: BaseException) -> None:
    """Tell whoever records the request of a scope or an environ which exception the framework has answered."""
    findings = carrier.get(MARK)
    if findings is not None:
        findings.error_type = error_name(error)
