"""Parse and check a store's URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from apimetry.store.errors import StoreError

DEFAULT_DATABASE: Final = "apimetry"
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SECURE_PORT: Final = 8443
_PORT: Final = 8123
# The URL's query may have these options: clickhouse-connect's names for TLS and compression.
_OPTIONS: Final = frozenset({"ca_cert", "client_cert", "client_cert_key", "compress", "server_host_name", "verify"})

# ClickHouse reads these characters in a file's name as a pattern.
_PATTERN_CHARACTERS: Final = frozenset("*?{}")
_END_OF_HOSTS = re.compile(r"[/?#]")
_CLUSTER = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class StoreAddressError(StoreError, ValueError):
    """The store's URL cannot be used; the message says why."""


@dataclass(frozen=True)
class StoreAddress:
    """The place of the store: `path` for an embedded store, else the server's `host` and the other fields.

    `more_hosts` are the other nodes of a cluster, each with its port; user, password and options are the same there.
    """

    database: str
    path: Path | None = None
    interface: str = "http"
    host: str = ""
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    options: dict[str, str] = field(default_factory=dict, repr=False, hash=False)
    more_hosts: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        """Return the address for logs: without user and password."""
        if self.path is not None:
            return f"chdb://{self.path}"
        return f"{self.interface}://{','.join(host.place for host in self.each())}/{self.database}"

    @property
    def place(self) -> str:
        """Return the first host and its port, as people write them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """Return what clickhouse-connect calls the first host: without user, password and database."""
        return f"{self.interface}://{self.place}"

    def each(self) -> list[StoreAddress]:
        """Return an address of one host alone for every host, in the order written."""
        hosts = ((self.host, self.port), *self.more_hosts)
        return [replace(self, host=host, port=port, more_hosts=()) for host, port in hosts]


def parse_address(url: str) -> StoreAddress:
    """Parse `chdb:///path`, `clickhouse://user:password@host:port/database`, `clickhouses://…` or `http(s)://…`.

    Several nodes of a cluster are separated by commas: `clickhouse://user:password@a:8123,b:8123/database`. The
    database defaults to `apimetry`, the port to 8123 (8443 with TLS). `clickhouse://` speaks TLS on port 8443 or
    443, or with `?secure=true`. Raises StoreAddressError; its message never carries the password.
    """
    start, first, others, end = _split_hosts(url)
    try:
        parts = urlsplit(f"{start}{first}{end}")
        hosts = [_host_and_port(host) for host in (first, *others)]
    except ValueError as error:
        raise StoreAddressError("the store's URL cannot be read: its port or host is malformed") from error
    if parts.scheme == "chdb":
        return _embedded(unquote(parts.path), parts.netloc)
    if parts.scheme not in ("clickhouse", "clickhouses", "http", "https"):
        raise StoreAddressError(
            f"a store's URL starts with chdb://, clickhouse://, http:// or https://, not {parts.scheme!r}"
        )
    if not all(host for host, _ in hosts):
        missing = "no host" if len(hosts) == 1 else "no host at one of its commas"
        raise StoreAddressError(f"the store's URL names {missing}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = options.pop("secure", "").lower() in ("1", "true", "yes")
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise StoreAddressError(
            f"the store's URL has an unknown option {unknown[0]!r}; known: secure, {', '.join(sorted(_OPTIONS))}"
        )
    tls = secure or parts.scheme in ("https", "clickhouses")
    tls = tls or (parts.scheme == "clickhouse" and hosts[0][1] in (443, _SECURE_PORT))
    # A host that is written twice is one host.
    (host, port), *more = dict.fromkeys((host, port or (_SECURE_PORT if tls else _PORT)) for host, port in hosts)
    return StoreAddress(
        database=_checked_database(unquote(parts.path).strip("/") or DEFAULT_DATABASE),
        interface="https" if tls else "http",
        host=host,
        port=port,
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        options=options,
        more_hosts=tuple(more),
    )


def _split_hosts(url: str) -> tuple[str, str, list[str], str]:
    """Return a URL in pieces: up to its user, its first host, its other hosts, and the rest from the path on."""
    scheme, separator, rest = url.partition("://")
    end = _END_OF_HOSTS.search(rest)
    netloc, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    user, at, hosts = netloc.rpartition("@")
    first, *others = hosts.split(",")
    return f"{scheme}{separator}{user}{at}", first, others, tail


def _host_and_port(host: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port


def _embedded(path: str, netloc: str) -> StoreAddress:
    if netloc or not path.strip("/"):
        raise StoreAddressError(
            "an embedded store's URL is chdb:// and an absolute path, as in chdb:///var/lib/apimetry"
        )
    resolved = Path(path).resolve()
    if set(str(resolved)) & _PATTERN_CHARACTERS:
        raise StoreAddressError(f"the path of an embedded store must be without * ? {{ }}, not {str(resolved)!r}")
    return StoreAddress(database=DEFAULT_DATABASE, path=resolved)


def _checked_database(name: str) -> str:
    if not _DATABASE.fullmatch(name):
        raise StoreAddressError(f"a database's name is letters, digits and _, at most 64, not {name!r}")
    return name


def checked_cluster(name: str | None) -> str | None:
    """Return the cluster's name, None for an empty name; raises StoreAddressError for a name that is not allowed."""
    if name and not _CLUSTER.fullmatch(name):
        raise StoreAddressError(f"a cluster's name is letters, digits, '_', '.' and '-', not {name!r}")
    return name or None
