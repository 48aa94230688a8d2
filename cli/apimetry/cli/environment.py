"""Variables of the environment that look like ours and are none: a setting that is misspelt must not go unnoticed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from apimetry.cli.settings import ENVIRONMENT_PREFIX, TABLE

# Beside the settings: what the middleware and the commands that ask a service read.
CLIENT_VARIABLES: Final = frozenset(
    f"APIMETRY_{name}" for name in ("COLLECTOR_URL", "QUERY_URL", "WRITE_KEY", "READ_KEY", "ADMIN_KEY", "APPLICATION")
)
# Kubernetes and Docker set these for a service that is called apimetry; the tests have their own.
_OF_OTHERS: Final = re.compile(r"APIMETRY_(TEST_.*|(.*_)?SERVICE_(HOST|PORT.*)|(.*_)?PORT(_\d+_(TCP|UDP).*)?)")


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable of our prefix that nothing reads, with the nearest one that is read."""
    known = {info.environment for info in TABLE} | CLIENT_VARIABLES
    for name in sorted(environment):
        # Names are read as they are written: one in small letters is read by nobody.
        if not name.upper().startswith(ENVIRONMENT_PREFIX) or name in known or _OF_OTHERS.fullmatch(name):
            continue
        # Without the prefix, which would make all of them alike.
        meant = {right.removeprefix(ENVIRONMENT_PREFIX): right for right in sorted(known)}
        nearest = difflib.get_close_matches(name.upper().removeprefix(ENVIRONMENT_PREFIX), meant, n=1)
        hint = f"; did you mean {meant[nearest[0]]}?" if nearest else ""
        yield f"nothing reads the variable {name}{hint}"
