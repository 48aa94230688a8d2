"""The private parts of aiohttp that `connection` uses, and the check that this aiohttp has them.

aiohttp may rename a private attribute in any version. The check turns that into one clear sentence at import; without
it, every connection would fail with an AttributeError.
"""

from __future__ import annotations

import inspect
from typing import Final

import aiohttp
from aiohttp.web_protocol import RequestHandler

OLDEST_AIOHTTP: Final = "3.14.4"
"""As in pyproject.toml; a test compares the two."""
ATTRIBUTES: Final = (
    "_messages",
    "_reading_paused",
    "data_received",
    "finish_response",
    "force_close",
    "handle_error",
    "log_exception",
)
"""Of a RequestHandler: the queue of parsed requests, whether aiohttp paused reading, and what `connection` overrides
or calls."""
OPTIONS: Final = (
    "access_log",
    "auto_decompress",
    "keepalive_timeout",
    "max_field_size",
    "max_headers",
    "max_line_size",
    "read_bufsize",
)
"""Of a RequestHandler's construction."""


def check_aiohttp(handler: type = RequestHandler, version: str = aiohttp.__version__) -> None:
    """Raise an ImportError that names the parts that aiohttp's request handler lacks; return if it has them all."""
    missing = [name for name in ATTRIBUTES if not hasattr(handler, name)]
    options = inspect.signature(handler).parameters
    missing += [f"the option {name}" for name in OPTIONS if name not in options]
    if missing:
        raise ImportError(
            f"apimetry cannot run on aiohttp {version}: its RequestHandler lacks {', '.join(missing)}; "
            f"install aiohttp {OLDEST_AIOHTTP} or a newer version that apimetry supports"
        )
