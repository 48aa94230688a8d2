"""Exit with 0 if every service of this container that listens answers /health with 200, and at least one listens.

The image's health check. Standard library alone; it starts in the tenth of a second.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

# Docker gives a health check five seconds.
TIMEOUT_S = 4
DEFAULT_PORTS = {"APIMETRY_COLLECTOR_PORT": 7998, "APIMETRY_QUERY_PORT": 7778}


def statuses(environment: Mapping[str, str]) -> list[int]:
    """Return the status of every service that listens at its port; 0 where a service does not answer in time."""
    answers = []
    for variable, default in DEFAULT_PORTS.items():
        text = environment.get(variable, "")
        connection = http.client.HTTPConnection(
            "127.0.0.1", int(text) if text.isdigit() else default, timeout=TIMEOUT_S
        )
        try:
            connection.request("GET", "/health")
            answers.append(connection.getresponse().status)
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException):
            answers.append(0)
        finally:
            connection.close()
    return answers


if __name__ == "__main__":
    answers = statuses(os.environ)
    sys.exit(not answers or any(status != 200 for status in answers))
