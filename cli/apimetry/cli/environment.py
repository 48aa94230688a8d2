"""Find environment variables with the prefix of apimetry that nothing reads, such as misspelt settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from apimetry.cli.settings import ENVIRONMENT_PREFIX, FILE_SUFFIX, TABLE

# Variables beside the settings: the middleware reads them, and the commands that call a service.
CLIENT_VARIABLES: Final = frozenset(
    f"APIMETRY_{name}" for name in ("COLLECTOR_URL", "QUERY_URL", "WRITE_KEY", "READ_KEY", "ADMIN_KEY", "APPLICATION")
)
# Kubernetes and Docker set these for a service with the name apimetry. Tests have variables of their own.
_SET_BY_OTHERS: Final = re.compile(r"APIMETRY_(TEST_.*|(.*_)?SERVICE_(HOST|PORT.*)|(.*_)?PORT(_\d+_(TCP|UDP).*)?)")


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for every variable with the prefix that nothing reads; it suggests the nearest variable."""
    files = {info.environment + FILE_SUFFIX for info in TABLE if info.secret}
    known = {info.environment for info in TABLE} | files | CLIENT_VARIABLES
    for name in sorted(environment):
        # Names of variables are case-sensitive: nothing reads a name in small letters.
        if not name.upper().startswith(ENVIRONMENT_PREFIX) or name in known or _SET_BY_OTHERS.fullmatch(name):
            continue
        # Names are compared without the prefix, because it makes all of them similar.
        variables = {name_.removeprefix(ENVIRONMENT_PREFIX): name_ for name_ in sorted(known)}
        nearest = difflib.get_close_matches(name.upper().removeprefix(ENVIRONMENT_PREFIX), variables, n=1)
        hint = f"; did you mean {variables[nearest[0]]}?" if nearest else ""
        yield f"nothing reads the variable {name}{hint}"
