"""The addresses of the services and the keys, for every command that calls a service.

A value comes from an argument, else from the environment, else from the files that a service wrote into the data
directory: ``credentials.json`` and ``addresses.json``. Addresses have a default.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from apimetry.cli import data_dir
from apimetry.cli.client import COLLECTOR, QUERY, Client

DEFAULT_URLS: Final = {"collector_url": "http://127.0.0.1:7998", "query_url": "http://127.0.0.1:7778"}
# Users copy the middleware's `collector_url`, which may end in the path that takes events.
_EVENT_PATH: Final = re.compile(r"/1/event/?$")
_KEY: Final = re.compile(r"[!-~]+")
PROCESS_LISTS: Final = "shows in process lists: prefer the variable or the file"


class Connection:
    """The addresses and keys of one run of a command. A value is looked up when the command needs it."""

    def __init__(self, arguments: dict[str, str | None]) -> None:
        self._arguments = arguments
        self._keys: dict[str, str] = {}

    @functools.cached_property
    def data_dir(self) -> Path:
        """Return the path of the data directory, which may not exist."""
        from apimetry.cli.settings import SettingsError, load

        try:
            folder = load({"data_dir": self._arguments["data_dir"]}, os.environ).data_dir
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        return Path(folder).expanduser().absolute()

    def url(self, name: str) -> str:
        """Return an address; `name` is "collector_url" or "query_url".

        Raises:
            click.UsageError: the value is not an address of a service.
        """
        for value, origin in self._sources(name):
            if value:
                return checked_url(value, origin)
        return DEFAULT_URLS[name]

    def key(self, name: str) -> str:
        """Return a key; `name` is "write_key", "read_key" or "admin_key".

        Raises:
            click.UsageError: the key is missing, is set by two options, or has characters that no key has.
        """
        # Cached, because standard input can be read only once.
        if name not in self._keys:
            self._keys[name] = self._find_key(name)
        return self._keys[name]

    def _find_key(self, name: str) -> str:
        file, option = self._arguments.get(f"{name}_file"), _option(name)
        if file and self._arguments.get(name):
            raise click.UsageError(f"{option} and {option}-file are both given; one of them is enough")
        sources = [(first_line_of(file), f"{option}-file"), *self._sources(name)] if file else self._sources(name)
        for value, origin in sources:
            if value:
                return _checked_key(value.strip(), origin)
        title = name.replace("_", " ")
        raise click.UsageError(
            f"no {title}: give {option} or set {_variable(name)}; {option}-file reads it from a file;"
            f" there is none in {data_dir.credentials_in(self.data_dir)}, and --data-dir names another folder"
        )

    def collector(self, **options: Any) -> Client:  # noqa: ANN401 - passed on
        """Return a client of the collector, with the write key."""
        return Client(COLLECTOR, self.url("collector_url"), self.key("write_key"), **options)

    def query(self, key_name: str = "read_key", **options: Any) -> Client:  # noqa: ANN401 - passed on
        """Return a client of the query service, with the named key."""
        return Client(QUERY, self.url("query_url"), self.key(key_name), **options)

    def _sources(self, name: str) -> list[tuple[str | None, str]]:
        """Return the possible values with their origins; read the data directory only where it is needed."""
        direct = [
            (self._arguments.get(name), _option(name)),
            (os.environ.get(_variable(name)), _variable(name)),
        ]
        if any(value for value, _ in direct):
            return direct
        path = (
            data_dir.addresses_in(self.data_dir) if name in DEFAULT_URLS else data_dir.credentials_in(self.data_dir)
        )
        return [*direct, (data_dir.read(path).get(name), f"{name} in {path}")]


def first_line_of(file: str) -> str:
    """Return the first line of a file, stripped; "-" is the next line of standard input.

    Raises:
        click.UsageError: the file cannot be read, or the line is empty.
    """
    try:
        if file == "-":
            line = sys.stdin.buffer.readline()
        else:
            with Path(file).open("rb") as opened:
                line = opened.readline()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from error
    if not line.strip():
        raise click.UsageError(f"{'standard input' if file == '-' else file} has no key in its first line")
    return line.decode("utf-8", "replace").strip()


def with_connection(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a `Connection` as its first argument, and the options for the addresses and keys that it needs.

    Args:
        names: any of "collector_url", "query_url", "write_key", "read_key", "admin_key".
    """
    connection_options = [*names, *(f"{name}_file" for name in names if name.endswith("_key")), "data_dir"]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(**arguments: Any) -> None:  # noqa: ANN401 - click passes options by name
            own = {name: arguments.pop(name) for name in connection_options}
            command(Connection(own), **arguments)

        decorated: Callable[..., None] = wrapper
        for option in reversed([*(option for name in names for option in _options_of(name)), _DATA_DIR]):
            decorated = option(decorated)
        return decorated

    return decorate


JSON_OPTION: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")
_Option = Callable[[Callable[..., None]], Callable[..., None]]
_DATA_DIR: Final[_Option] = click.option(
    "--data-dir",
    metavar="FOLDER",
    help="folder that has the keys and addresses of a service [env: APIMETRY_DATA_DIR] [default: ./apimetry-data]",
)


def _options_of(name: str) -> list[_Option]:
    option, variable = _option(name), _variable(name)
    kind = name.rpartition("_")[0]
    if name in DEFAULT_URLS:
        text = f"address of the {COLLECTOR if kind == 'collector' else QUERY} [env: {variable}]"
        return [click.option(option, name, metavar="URL", help=f"{text} [default: {DEFAULT_URLS[name]}]")]
    article = "an" if kind == "admin" else "a"
    return [
        click.option(option, name, metavar="KEY", help=f"{article} {kind} key; {PROCESS_LISTS} [env: {variable}]"),
        click.option(f"{option}-file", f"{name}_file", metavar="FILE",
                     help=f"a file with {article} {kind} key in its first line; - is standard input"),
    ]  # fmt: skip


def checked_url(value: str, origin: str) -> str:
    """Return the address of a service without its last slash, and without the path that takes events.

    Raises:
        click.UsageError: the value is not an address of a service; the message names its `origin`.
    """
    url = value.strip()
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    else:
        if "://" not in url:
            raise click.UsageError(f"{origin}: {url!r} has no scheme: write http://{url} or https://{url}")
        if parts.scheme.lower() not in ("http", "https"):
            raise click.UsageError(f"{origin}: {url!r} is not an http:// or https:// address")
    if not usable or parts.query or parts.fragment or re.search(r"[^!-~]", url):
        raise click.UsageError(f"{origin}: {url!r} is not the address of a service, such as http://127.0.0.1:7778")
    if parts.username is not None or parts.password is not None:
        raise click.UsageError(f"{origin}: an address carries no user and password here")
    return _EVENT_PATH.sub("", url.rstrip("/"))


def _checked_key(value: str, origin: str) -> str:
    if not _KEY.fullmatch(value):
        raise click.UsageError(f"{origin}: this is no key: it has spaces or other characters that no key has")
    return value


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "APIMETRY_" + name.upper()
