"""The options of the middleware: arguments, then environment, then defaults, read once and frozen."""

from __future__ import annotations

import fnmatch
import functools
import inspect
import math
import os
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from apimetry.middleware.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DEFAULT_COLLECTOR_URL = "http://127.0.0.1:7998"
INGEST_PATH = "/1/event/"
DEFAULT_EXCLUDE = (
    *("/health", "/health/", "/healthz", "/livez", "/readyz", "/ready", "/ping", "/metrics"),
    *("/favicon.ico", "/robots.txt", "/static/*"),
)
"""Paths that make no event by default: probes, scrapes, and files that are no API."""
_SLASHES = re.compile("/+")
_WILDCARD = re.compile(r"[*?\[]")
_CHOICES = {"url": ("path", "masked", "full"), "client_ip": ("off", "truncated", "full")}
_POSITIVE = (
    "slow_ms",
    "flush_interval_s",
    "timeout_s",
    "exit_timeout_s",
    "max_buffer_events",
    "max_buffer_bytes",
    "max_batch_events",
    "max_batch_bytes",
    "buffer_dir_max_bytes",
    "buffer_dir_max_age_s",
)


@dataclass(frozen=True, eq=False, repr=False)
class Options:
    """The options of the middleware. Read-only; the write key prints as ``***``.

    Attributes:
        collector_url: the collector's URL, possibly with a path, with or without ``/1/event/`` at its end;
            environment ``APIMETRY_COLLECTOR_URL``.
        write_key: the application's write key; environment ``APIMETRY_WRITE_KEY``. Empty: nothing is recorded.
        consumer: a callable (not async) on the request (ASGI: the scope, WSGI: the environ, Django and aiohttp: the
            request) that returns the consumer, or the name of a request header whose value is hashed.
        exclude: paths that are not recorded: exact, or with ``*`` and ``?``, or compiled patterns, which may match
            any part of the path (``^`` and ``$`` stand for its ends). If the application is under a prefix
            (``--root-path``, a SCRIPT_NAME, a mount), a match of the whole path or of the path without the prefix is
            enough. The list replaces `DEFAULT_EXCLUDE`; an empty list records everything.
        source: the name of the service, environment, host or worker; by default the host's name.
        version: the host application's version.
        url: ``path`` (no query), ``masked`` (parameter names without their values, secrets in the path
            masked), ``full`` (as received).
        client_ip: ``off``, ``truncated`` (to /24 and /48), ``full``.
        trusted_proxies: addresses and networks (``10.0.0.0/8``; ``unix`` for a socket) whose X-Forwarded-For or
            Forwarded is believed. Both headers of other peers are ignored.
        user_agent: record the User-Agent header.
        sample: the share of ordinary requests that is recorded, over 0 up to 1. Errors (status 400 and above)
            and requests of `slow_ms` or more are always recorded. Weights keep every count unbiased.
        slow_ms: the duration from which a request is slow, milliseconds.
        data: a callable (not async) on the request that returns a mapping of strings to keep with the event.
        flush_interval_s: the longest an event waits before its batch is sent, seconds.
        timeout_s: the longest one request to the collector may take, seconds.
        exit_timeout_s: the longest the interpreter's exit waits for delivery, seconds, 2 at most.
        max_buffer_events: events in memory; further events are dropped and counted.
        max_buffer_bytes: estimated bytes of events in memory; further events are dropped and counted.
        max_batch_events: events in one request to the collector.
        max_batch_bytes: estimated bytes of events in one request to the collector.
        buffer_dir: a folder for batches that the collector does not take; empty: they stay in memory. The next
            process delivers the batches of a killed one.
        buffer_dir_max_bytes: bytes in that folder, of all processes together.
        buffer_dir_max_age_s: the longest a batch waits there, seconds; older batches are dropped and counted. The
            default is 23 hours: a batch whose response was lost is posted again, and the collector recognizes it for
            a day. With a longer wait fewer batches are lost, but some may count twice.
    """

    collector_url: str = DEFAULT_COLLECTOR_URL
    write_key: str = field(default="", repr=False)
    consumer: Callable[[Any], object] | str | None = None
    exclude: Sequence[str | re.Pattern[str]] = DEFAULT_EXCLUDE
    source: str = ""
    version: str = ""
    url: str = "masked"
    client_ip: str = "off"
    trusted_proxies: Sequence[str] = ()
    user_agent: bool = False
    sample: float = 1.0
    slow_ms: float = 1000.0
    data: Callable[[Any], Mapping[str, object] | None] | None = None
    flush_interval_s: float = 0.5
    timeout_s: float = 5.0
    exit_timeout_s: float = 2.0
    max_buffer_events: int = 20_000
    max_buffer_bytes: int = 16 * 1024 * 1024
    max_batch_events: int = 2_000
    max_batch_bytes: int = 2 * 1024 * 1024
    buffer_dir: str | os.PathLike[str] = ""
    buffer_dir_max_bytes: int = 64 * 1024 * 1024
    buffer_dir_max_age_s: float = 82_800.0

    def __post_init__(self) -> None:
        _check_collector_url(self.collector_url)
        _check_scalars(self)
        if not (isinstance(self.consumer, str) or _is_plain_callable(self.consumer)):
            raise OptionError(f"consumer: {self.consumer!r}; allowed: a callable (not async) or the name of a header")
        if not isinstance(self.buffer_dir, (str, os.PathLike)):
            raise OptionError(f"buffer_dir: {self.buffer_dir!r}; allowed: the path of a folder")
        if not _is_plain_callable(self.data):
            raise OptionError(f"data: {self.data!r}; allowed: a callable (not async) that returns a mapping")
        compile_exclude(self.exclude)
        _check_trusted_proxies(self.trusted_proxies)

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name != "write_key")
        return f"Options(write_key={'***' if self.write_key else ''!r}, {', '.join(shown)})"


def make_options(arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Options:
    """Read the options from arguments, then environment, then defaults.

    An argument of None counts as absent.

    Raises:
        OptionError: an unknown option, or a value that cannot be used.
    """
    environment = os.environ if environment is None else environment
    known = {f.name for f in fields(Options)}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise OptionError(f"unknown option {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
    values = {name: value for name, value in arguments.items() if value is not None}
    for name in ("collector_url", "write_key"):
        from_environment = environment.get(f"APIMETRY_{name.upper()}", "").strip()
        if from_environment:
            values.setdefault(name, from_environment)
    values.setdefault("source", os.uname().nodename if hasattr(os, "uname") else environment.get("COMPUTERNAME", ""))
    return Options(**values)


def compile_exclude(exclude: Sequence[str | re.Pattern[str]]) -> Callable[[str], bool]:
    """Make one predicate on paths from the excluded paths and patterns.

    Any number of whole paths, and of paths that end in their only ``*``, costs next to nothing; every other entry
    costs a search. A compiled pattern may match any part of the path; a path with wildcards matches the whole path.
    """
    if isinstance(exclude, (str, re.Pattern)):
        raise OptionError(f"exclude: {exclude!r}; allowed: a list of paths or patterns")
    whole: set[str] = set()
    prefixes: list[str] = []
    searches: list[Callable[[str], object]] = []
    for entry in exclude:
        if isinstance(entry, re.Pattern) and isinstance(entry.pattern, str):
            searches.append(entry.search)
        elif not isinstance(entry, str):
            raise OptionError(f"exclude: {entry!r}; allowed: paths, paths with * and ?, compiled patterns")
        elif not _WILDCARD.search(entry):
            whole.add(entry)
        elif _WILDCARD.search(entry[:-1]) or entry[-1] != "*":
            searches.append(re.compile(fnmatch.translate(entry)).match)
        else:
            prefixes.append(entry[:-1])
    return _join_predicates(frozenset(whole), tuple(prefixes), tuple(searches))


def _join_predicates(
    whole: frozenset[str], prefixes: tuple[str, ...], searches: tuple[Callable[[str], object], ...]
) -> Callable[[str], bool]:
    if searches:
        return lambda path: path in whole or path.startswith(prefixes) or any(search(path) for search in searches)
    if prefixes:
        return lambda path: path in whole or path.startswith(prefixes)
    return whole.__contains__


def locate_ingest(collector_url: str) -> str:
    """Return the URL that batches are posted to: scheme, host, port and path, without user and password.

    The path of the option may be a prefix, may end in a slash, and may be the endpoint itself.
    """
    parts = urlsplit(collector_url.strip())
    path = _SLASHES.sub("/", parts.path).rstrip("/").removesuffix(INGEST_PATH.rstrip("/")).rstrip("/")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}{INGEST_PATH}"


def _check_collector_url(url: object) -> None:
    problem = f"collector_url: {url!r}; allowed: http://host:port or https://host:port"
    if not isinstance(url, str):
        raise OptionError(problem)
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise OptionError(problem) from error
    if not usable:
        raise OptionError(problem)


def _is_plain_callable(value: object) -> bool:
    """Return whether a value is None or a callable that is not async."""
    while isinstance(value, functools.partial):
        value = value.func
    if value is None:
        return True
    functions = (value, getattr(type(value), "__call__", None))  # noqa: B004 - the code of the method is needed
    is_async = any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) for function in functions
    )
    return callable(value) and not is_async


def _check_trusted_proxies(proxies: Sequence[str]) -> None:
    try:
        if isinstance(proxies, str):
            raise TypeError  # noqa: TRY301 - one message for every value that is no list of networks
        if networks := tuple(proxies):
            from apimetry.middleware.privacy import parse_networks  # noqa: PLC0415 - most hosts have no proxies

            parse_networks(networks)
    except (TypeError, ValueError) as error:
        raise OptionError(f"trusted_proxies: {proxies!r}; allowed: a list of addresses and networks") from error


def _check_scalars(options: Options) -> None:
    for name, choices in _CHOICES.items():
        if getattr(options, name) not in choices:
            raise OptionError(f"{name}: {getattr(options, name)!r}; allowed: {', '.join(choices)}")
    for name in ("source", "version", "write_key"):
        if not isinstance(getattr(options, name), str):
            raise OptionError(f"{name}: allowed: a string")
    if not (options.write_key.isascii() and options.write_key.isprintable()) or " " in options.write_key:
        raise OptionError("write_key: ***; allowed: printable ASCII without spaces")
    for name in _POSITIVE:
        value = _number(getattr(options, name))
        if value is None or not 0 < value < math.inf:
            raise OptionError(f"{name}: {getattr(options, name)!r}; allowed: a number over 0")
    if _number(options.sample) is None or not 0 < options.sample <= 1:
        raise OptionError(f"sample: {options.sample!r}; allowed: over 0 and up to 1 (exclude= leaves paths out)")
    if options.exit_timeout_s > 2:
        raise OptionError(f"exit_timeout_s: {options.exit_timeout_s!r}; allowed: over 0 and up to 2")


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
