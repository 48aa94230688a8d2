"""Print what a user needs after the start: addresses, keys, and the line to add to an app."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, TextIO

from apimetry.cli.data_dir import credentials_in
from apimetry.cli.settings import Settings
from apimetry.store.accounts.accounts import KEY_PREFIXES, KeyKind
from apimetry.store.accounts.bootstrap import Credentials
from apimetry.store.address import parse_address

# Addresses that mean every interface, and the address by which this machine reaches them.
UNSPECIFIED: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognized, not chosen
DEFAULT_COLLECTOR = "http://127.0.0.1:7998"


def show(
    settings: Settings,
    addresses: Mapping[str, str],
    credentials: Credentials | None,
    *,
    missing: str = "",
    sign_in_code: str | None = None,
) -> None:
    """Print the addresses, and at the first start the keys and the lines to paste.

    Args:
        settings: name the store and the data directory.
        addresses: base URL by service, "collector" and "query".
        credentials: the keys that this start made; None at later starts, which print where the keys are.
        missing: what the service cannot do until it reaches the store; empty where the store is open.
        sign_in_code: opens the dashboard on this machine; None: this start has none.
    """
    state = f", which does not answer yet: {missing}" if missing else ""
    print(f"apimetry {version('apimetry')} runs on {store_name(settings)}{state}")
    if settings.host in UNSPECIFIED:
        print("  listening on every interface of this machine; from here:")
    if "query" in addresses:
        print(f"  dashboard      {addresses['query']}/")
        if sign_in_code is not None:
            print(f"  sign-in code   {sign_in_code}   (once, within ten minutes)")
        print(f"  query service  {addresses['query']}/")
    if "collector" in addresses:
        print(f"  collector      {addresses['collector']}/1/event/")
    path = credentials_in(settings.data_dir)
    if credentials is not None:
        show_keys(credentials, settings)
    elif path.exists():
        print(f"  keys           `{command_name(sys.argv[0])} keys show` prints them; they are kept in {path}")
    collector = addresses.get("collector")
    if credentials is not None and collector is not None:
        printed = _printed(credentials, settings)
        _show_lines(printed["write_key"], collector)
        if "query" in addresses:
            _show_query(printed["read_key"], addresses["query"])
            print(f"If nothing shows up, `{command_name(sys.argv[0])} doctor` says why.\n")
    sys.stdout.flush()


def command_name(argument: str) -> str:
    """Return the shortest name of the running command for a shell in this folder; `argument` is `sys.argv[0]`."""
    executable = shutil.which("apimetry")
    if executable and Path(executable).resolve() == Path(argument).resolve():
        return "apimetry"
    path = Path(argument).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def reachable(url: str) -> str:
    """Return the URL by which this machine reaches a service, also one that listens on every interface."""
    for unspecified, loopback in UNSPECIFIED.items():
        url = url.replace(f"//{unspecified}:", f"//{loopback}:").replace(f"//[{unspecified}]:", f"//[{loopback}]:")
    return url


def store_name(settings: Settings) -> str:
    """Return a name of the store for people, without user and password."""
    address = parse_address(settings.store) if settings.store else None
    if address is None or address.path is not None:
        return f"an embedded store in {address.path if address else settings.data_dir}"
    return f"the ClickHouse server at {address}"


def shown_credentials(credentials: Credentials) -> dict[str, str]:
    """Return the first application and its keys as people and ``credentials.json`` see them."""
    return {
        "application": credentials.application_id,
        "admin_key": credentials.admin_key,
        "write_key": credentials.write_key,
        "read_key": credentials.read_key,
    }


def show_keys(credentials: Credentials, settings: Settings, file: TextIO = sys.stdout) -> None:
    """Print the first keys that were made, and the path of the file that has all of them."""
    path = credentials_in(settings.data_dir)
    print(f"\nThe first application and its keys, shown once and kept in {path}:", file=file)
    made = shown_credentials(credentials)
    for name, value in _printed(credentials, settings).items():
        print(f"  {name:<12} {value}{'' if value == made[name] else '   (given by a setting)'}", file=file)


def _printed(credentials: Credentials, settings: Settings) -> dict[str, str]:
    """Return the first application and its keys as they are printed: a secret that the settings give is not."""
    given = {
        "admin_key": (settings.bootstrap_admin_key, KeyKind.admin),
        "write_key": (settings.bootstrap_write_key, KeyKind.write),
        "read_key": (settings.bootstrap_read_key, KeyKind.read),
    }
    hidden = {name: f"{KEY_PREFIXES[kind]}…" for name, (secret, kind) in given.items() if secret}
    return {**shown_credentials(credentials), **hidden}


def _show_lines(write_key: str, collector: str) -> None:
    options = f'write_key="{write_key}"'
    if collector != DEFAULT_COLLECTOR:
        options += f', collector_url="{collector}"'
    django = ", ".join(
        f'"{name}": {value}' for name, _, value in (option.partition("=") for option in options.split(", "))
    )
    print(
        f"""
Add one line to your app:

  FastAPI, Starlette   from apimetry.middleware.asgi import ASGIMiddleware
                       app.add_middleware(ASGIMiddleware, {options})

  any other ASGI app   from apimetry.middleware.asgi import ASGIMiddleware
                       app = ASGIMiddleware(app, {options})

  Flask, any WSGI app  from apimetry.middleware.wsgi import WSGIMiddleware
                       app.wsgi_app = WSGIMiddleware(app.wsgi_app, {options})

  Django               MIDDLEWARE = ["apimetry.middleware.django.DjangoMiddleware", ...]
                       APIMETRY = {{{django}}}

  aiohttp              from apimetry.middleware.aiohttp import aiohttp_middleware
                       web.Application(middlewares=[aiohttp_middleware({options})])"""
    )


def _show_query(read_key: str, query: str) -> None:
    print(
        f"""
and ask what it did in the last hour, a minute at a time (`end` is exclusive):

  curl -H "X-API-Key: {read_key}" \\
    "{query}/1/timeseries/$(($(date +%s) - 3600))/$(($(date +%s) + 1))/?granularity=minute&group=route"
"""
    )
