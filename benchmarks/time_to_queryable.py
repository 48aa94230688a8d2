"""How long after a request its event can be queried: a real host, `apimetry serve`, and the timeseries endpoint.

python benchmarks/time_to_queryable.py --rounds 40
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.hosts.fixtures_hosts import HOSTS, start_host
from tests.support.services.keys import WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, running, total

PROMISED_S = 2.0


def measure(host_kind: str, rounds: int) -> list[float]:
    """Return seconds from the answer of a request until its event counts, one for each round."""
    waited = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running("serve", data_dir=folder, **BOOTSTRAP) as serve,
        start_host(host_kind, collector_url=serve.collector_url, write_key=WRITE_KEY) as host,
    ):
        for previous in range(rounds):
            # Rounds must not fall into step with the flush interval of the host or the collector.
            time.sleep(random.uniform(0, 1))
            urllib.request.urlopen(f"{host.url}/v1/scores/7", timeout=10).read()
            answered = time.perf_counter()
            while total(serve.query_url) <= previous:
                time.sleep(0.01)
            waited.append(time.perf_counter() - answered)
    return waited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--hosts", nargs="*", choices=HOSTS, default=["fastapi-uvicorn", "flask-gunicorn"])
    arguments = parser.parse_args()
    for host in arguments.hosts:
        waited = sorted(measure(host, arguments.rounds))
        print(
            f"{host:<22} median {statistics.median(waited):.2f} s, longest {waited[-1]:.2f} s,"
            f" within {PROMISED_S:.0f} s: {sum(seconds <= PROMISED_S for seconds in waited)} of {len(waited)}"
        )


if __name__ == "__main__":
    main()
