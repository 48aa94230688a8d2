"""What a service prints when it has started: where it listens, and the one line to add to an app."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, TextIO

from apimetry.cli.data_dir import credentials_in
from apimetry.cli.settings import Settings
from apimetry.store.accounts.bootstrap import Credentials
from apimetry.store.address import parse_address

# What means every interface, and how this machine reaches it.
UNSPECIFIED: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognized, not chosen
DEFAULT_COLLECTOR = "http://127.0.0.1:7998"


def show(settings: Settings, addresses: Mapping[str, str], made: Credentials | None, *, missing: str = "") -> None:
    """Print addresses, and on the first start the keys and the lines to paste.

    Args:
        settings: say which store it is.
        addresses: base URL by service, "collector" and "query".
        made: the keys that this start made; later ones name the file that keeps them.
        missing: what cannot be done because the store was not reached until now.
    """
    state = f", which does not answer yet: {missing}" if missing else ""
    print(f"apimetry {version('apimetry')} runs on {store_name(settings)}{state}")
    if settings.host in UNSPECIFIED:
        print("  listening on every interface of this machine; from here:")
    if "query" in addresses:
        print(f"  query service  {addresses['query']}/")
    if "collector" in addresses:
        print(f"  collector      {addresses['collector']}/1/event/")
    kept = credentials_in(settings.data_dir)
    if made is not None:
        show_keys(made, kept)
    elif kept.exists():
        print(f"  keys           `{command_name(sys.argv[0])} keys show` prints them; they are kept in {kept}")
    collector = addresses.get("collector")
    if made is not None and collector is not None:
        _show_lines(made, collector)
        if "query" in addresses:
            _show_question(made, addresses["query"])
            print(f"If nothing shows up, `{command_name(sys.argv[0])} doctor` says why.\n")
    sys.stdout.flush()


def command_name(argument: str) -> str:
    """Return how a shell in this folder finds the command that runs; `argument` is how it was started."""
    found = shutil.which("apimetry")
    if found and Path(found).resolve() == Path(argument).resolve():
        return "apimetry"
    path = Path(argument).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def reachable(url: str) -> str:
    """Return the address by which this machine reaches a service that may listen on every interface."""
    for every, one in UNSPECIFIED.items():
        url = url.replace(f"//{every}:", f"//{one}:").replace(f"//[{every}]:", f"//[{one}]:")
    return url


def store_name(settings: Settings) -> str:
    """Return which store it is, without user and password."""
    address = parse_address(settings.store) if settings.store else None
    if address is None or address.path is not None:
        return f"an embedded store in {address.path if address else settings.data_dir}"
    return f"the ClickHouse server at {address}"


def shown_credentials(made: Credentials) -> dict[str, str]:
    """Return what a person and ``credentials.json`` are told of the first keys."""
    return {
        "application": made.application_id,
        "admin_key": made.admin_key,
        "write_key": made.write_key,
        "read_key": made.read_key,
    }


def show_keys(made: Credentials, credentials: Path, file: TextIO = sys.stdout) -> None:
    """Print the first keys, and where they were left."""
    print(f"\nThe first application and its keys, shown once and kept in {credentials}:", file=file)
    for name, value in shown_credentials(made).items():
        print(f"  {name:<12} {value}", file=file)


def _show_lines(made: Credentials, collector: str) -> None:
    options = f'write_key="{made.write_key}"'
    if collector != DEFAULT_COLLECTOR:
        options += f', collector_url="{collector}"'
    django = ", ".join(f'"{name}": {value}' for name, _, value in (o.partition("=") for o in options.split(", ")))
    print(
        f"""
Add one line to your app:

  FastAPI, Starlette   from apimetry.middleware.asgi import ASGIMiddleware
                       app.add_middleware(ASGIMiddleware, {options})

  any other ASGI app   app = ASGIMiddleware(app, {options})

  Flask, any WSGI app  from apimetry.middleware.wsgi import WSGIMiddleware
                       app.wsgi_app = WSGIMiddleware(app.wsgi_app, {options})

  Django               MIDDLEWARE = ["apimetry.middleware.django.DjangoMiddleware", ...]
                       APIMETRY = {{{django}}}

  aiohttp              from apimetry.middleware.aiohttp import aiohttp_middleware
                       web.Application(middlewares=[aiohttp_middleware({options})])"""
    )


def _show_question(made: Credentials, query: str) -> None:
    print(
        f"""
and ask what it did in the last hour, a minute at a time (`end` is exclusive):

  curl -H "X-API-Key: {made.read_key}" \\
    "{query}/1/timeseries/$(($(date +%s) - 3600))/$(($(date +%s) + 1))/?granularity=minute&group=route"
"""
    )
