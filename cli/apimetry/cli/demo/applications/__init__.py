"""The example applications, each in its framework with the one line of the middleware.

The demo's traffic tells in headers what a request costs and how it ends: an example needs no database to be slow
or to fail.
"""

from __future__ import annotations

import os
from typing import Final

CONSUMER_HEADER: Final = "X-Client-Id"
DURATION_HEADER: Final = "X-Demo-Ms"
STATUS_HEADER: Final = "X-Demo-Status"
VERSION: Final = os.environ.get("APIMETRY_DEMO_VERSION", "")
