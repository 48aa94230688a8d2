"""`apimetry applications` and `apimetry keys`: the management API from the shell.

The commands call a running query service, because an embedded store has one owner.
"""

from __future__ import annotations

import functools
import shlex
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import click

from apimetry.cli import data_dir
from apimetry.cli.client import Client
from apimetry.cli.connection import JSON_OPTION, Connection, with_connection
from apimetry.cli.output import print_record, print_rows

# A copy of the store's names: a command that only calls a service does not import the store. A test compares them.
KINDS = ("admin", "write", "read")
FOREVER = "forever"
APPLICATION_COLUMNS = ("id", "name", "retentionDays", "createdAt")
KEY_COLUMNS = (
    "id",
    "kind",
    "application",
    "name",
    "firstCharacters",
    "createdAt",
    "lastUsedAt",
    "expiresAt",
    "revokedAt",
)


def with_admin(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a client of the query service with an admin key, and the option ``--json``."""

    @functools.wraps(command)
    def wrapper(connection: Connection, **arguments: object) -> None:
        command(connection.query("admin_key"), **arguments)

    return with_connection("query_url", "admin_key")(JSON_OPTION(wrapper))


def member_of(option: str) -> str:
    """Return the member of a JSON body that an option sets: `windowS` of `window_s`."""
    first, *others = option.split("_")
    return first + "".join(word.capitalize() for word in others)


def _days(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == FOREVER:
        return value
    if not (value.isdecimal() and len(value) < 10 and int(value) >= 1):
        raise click.BadParameter(f"{value!r} is neither a whole number of days nor {FOREVER}")
    return int(value)


@click.group()
def applications() -> None:
    """List, create and delete the organization's applications."""


@applications.command("list")
@with_admin
def list_applications(query: Client, *, as_json: bool) -> None:
    """List the organization's applications."""
    print_rows(list(query.rows("/api/applications", "applications")), APPLICATION_COLUMNS, as_json=as_json)


@applications.command("create")
@click.option("--name", required=True, help="what people call it")
@click.option("--id", "application_id", help="its id [default: a generated one]")
@click.option(
    "--retention-days", callback=_days, metavar="DAYS|forever", help="days after which its events are deleted"
)
@with_admin
def create_application(
    query: Client, *, name: str, application_id: str | None, retention_days: int | str | None, as_json: bool
) -> None:
    """Create an application."""
    body = {"name": name, "id": application_id, "retentionDays": retention_days}
    members = {member: None if value == FOREVER else value for member, value in body.items() if value is not None}
    print_record(query.call_json("POST", "/api/applications", members)["application"], as_json=as_json)


@applications.command("delete")
@click.argument("application_id", metavar="ID")
@click.option("--events", is_flag=True, help="delete its stored events, too")
@with_admin
def delete_application(query: Client, *, application_id: str, events: bool, as_json: bool) -> None:
    """Delete an application; its keys stop working. Events go by a job, which may still run when this returns."""
    suffix = "?events=true" if events else ""
    response = query.call_json("DELETE", f"/api/applications/{urllib.parse.quote(application_id, safe='')}{suffix}")
    job = {"job": response["job"]["id"], "state": response["job"]["state"]} if response else {}
    print_record({"deleted": application_id, **job}, as_json=as_json)


@click.group()
def keys() -> None:
    """Show the first keys; list, create, rotate and delete the organization's keys."""


@keys.command("show")
@click.option("--export", is_flag=True, help='print lines for a shell: eval "$(apimetry keys show --export)"')
@with_connection()
@JSON_OPTION
def show_keys(connection: Connection, *, export: bool, as_json: bool) -> None:
    """Print the keys that the first start made, from credentials.json of the data directory. No service is asked."""
    path = data_dir.credentials_in(connection.data_dir)
    credentials = data_dir.read(path)
    if not credentials:
        raise click.ClickException(
            f"there is no {path}: --data-dir or APIMETRY_DATA_DIR says where it lies; keys that were given by"
            " bootstrap settings are kept nowhere else"
        )
    if export:
        for name, value in {**credentials, **data_dir.read(data_dir.addresses_in(connection.data_dir))}.items():
            print(f"export APIMETRY_{name.upper()}={shlex.quote(value)}")
        return
    print_record(credentials if as_json else {**credentials, "kept in": str(path)}, as_json=as_json)


@keys.command("list")
@with_admin
def list_keys(query: Client, *, as_json: bool) -> None:
    """List the organization's keys: what each may do, its first characters and its last use."""
    print_rows(list(query.rows("/api/keys", "keys")), KEY_COLUMNS, as_json=as_json)


@keys.command("create")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="what it may do")
@click.option("--application", help="id of the application that a write or read key is for")
@click.option("--name", default="", help="what people call it")
@with_admin
def create_key(query: Client, *, kind: str, application: str | None, name: str, as_json: bool) -> None:
    """Create a key and print it; it is shown this once."""
    if kind != "admin" and application is None:
        raise click.UsageError(f"a {kind} key needs --application ID; `apimetry applications list` has the ids")
    body: dict[str, object] = {"kind": kind, "name": name}
    if application is not None:
        body["application"] = application
    _print_new_key(query.call_json("POST", "/api/keys", body), as_json=as_json)


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap-s",
    type=click.IntRange(min=0),
    default=86400,
    show_default=True,
    help="seconds for which the old key goes on working",
)
@with_admin
def rotate_key(query: Client, *, key_id: str, overlap_s: int, as_json: bool) -> None:
    """Replace a key by a new one of the same kind and print it; it is shown this once."""
    path = f"/api/keys/{urllib.parse.quote(key_id, safe='')}/rotate"
    _print_new_key(query.call_json("POST", path, {"overlapS": overlap_s}), as_json=as_json)


@keys.command("delete")
@click.argument("key_id", metavar="ID")
@with_admin
def delete_key(query: Client, *, key_id: str, as_json: bool) -> None:
    """Revoke a key; it stops working everywhere within 30 seconds."""
    query.call_json("DELETE", f"/api/keys/{urllib.parse.quote(key_id, safe='')}")
    print_record({"revoked": key_id}, as_json=as_json)


def _print_new_key(response: Mapping[str, Any], *, as_json: bool) -> None:
    print_record({"secret": response["secret"], **response["key"]}, as_json=as_json)
