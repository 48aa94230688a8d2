"""Bounded concurrent load from one process on an HTTP server on the loopback."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from urllib.parse import urlsplit


def send_concurrently(url, requests, clients=50):
    """Send `requests`, (method, path, body) triples, over `clients` keep-alive connections.

    Returns a Counter of (method, path, status).
    """
    netloc = urlsplit(url).netloc
    pending = list(reversed(requests))
    statuses = Counter()
    lock = threading.Lock()
    failures = []

    def client():
        connection = http.client.HTTPConnection(netloc, timeout=30)
        try:
            while True:
                with lock:
                    if not pending or failures:
                        return
                    method, path, body = pending.pop()
                connection.request(method, path, body)
                response = connection.getresponse()
                response.read()
                if response.status >= 500:
                    # Some servers close the connection behind an application's exception.
                    connection.close()
                with lock:
                    statuses[method, path, response.status] += 1
        except Exception as error:  # noqa: BLE001 - handed to the caller below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return statuses
