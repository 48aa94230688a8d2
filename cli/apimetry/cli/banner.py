"""What a service prints when it has started: where it listens, and the one line to add to an app."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from apimetry.cli.settings import Settings
from apimetry.store.accounts.bootstrap import Credentials

DEFAULT_COLLECTOR = "http://127.0.0.1:7998"


def show(settings: Settings, addresses: Mapping[str, str], made: Credentials | None, credentials: Path) -> None:
    """Print addresses, and on the first start the keys and the lines to paste.

    Args:
        settings: say which store it is.
        addresses: base URL by service, "collector" and "query".
        made: the keys that this start made; they are printed this once.
        credentials: where they were left.
    """
    store = "the ClickHouse server" if settings.store else f"an embedded store in {settings.data_dir}"
    print(f"apimetry {version('apimetry')} runs on {store}")
    if "query" in addresses:
        print(f"  query service  {addresses['query']}/")
    if "collector" in addresses:
        print(f"  collector      {addresses['collector']}/1/event/")
    if made is not None:
        show_keys(made, credentials)
    elif credentials.exists():
        print(f"  keys           {credentials}")
    collector = addresses.get("collector")
    if made is not None and collector is not None:
        _show_lines(made, collector)
        if "query" in addresses:
            _show_question(made, addresses["query"])
    sys.stdout.flush()


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
and ask what it did in the last hour, a minute at a time:

  curl -H "X-API-Key: {made.read_key}" \\
    "{query}/1/timeseries/$(($(date +%s) - 3600))/$(date +%s)/?granularity=minute&group=route"
"""
    )
