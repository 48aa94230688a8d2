"""`apimetry applications` and `apimetry keys`: the management API from the shell.

They talk to a running query service, since an embedded store has one owner.
"""

from __future__ import annotations

import functools
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from apimetry.cli.output import print_record, print_rows
from apimetry.store.accounts.records import KeyKind

DEFAULT_URL = "http://127.0.0.1:7778"
REQUEST_TIMEOUT_S = 30
PAGE = 100

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


class Service:
    """A running query service and the admin key to speak to it with."""

    def __init__(self, url: str, admin_key: str) -> None:
        self._url = url.rstrip("/")
        self._admin_key = admin_key

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON answer of one call, None where there is no body.

        Raises:
            click.ClickException: the service cannot be reached, or refused; with its message.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked by the option
            f"{self._url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self._admin_key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310 - likewise
                content = response.read()
        except urllib.error.HTTPError as error:
            raise click.ClickException(_message_of(error)) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise click.ClickException(f"no query service at {self._url}: {reason}") from error
        return json.loads(content) if content else None

    def rows(self, path: str, member: str) -> Iterator[dict[str, object]]:
        """Yield every row of a paginated list."""
        offset = 0
        while True:
            page = self.call("GET", f"{path}?limit={PAGE}&offset={offset}")
            yield from page[member]
            offset += PAGE
            if not page["pagination"]["hasMore"]:
                return


def _message_of(error: urllib.error.HTTPError) -> str:
    try:
        answer = json.load(error)
        return f"{answer['error']}: {answer['message']}"
    except (ValueError, KeyError, TypeError):
        return f"the service answered {error.code} {error.reason}"


def _http_url(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r} is not an http:// or https:// address")
    return value


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a `Service` as its first argument, and the option ``--json``."""

    @functools.wraps(command)
    def wrapper(url: str, admin_key: str, **arguments: object) -> None:
        command(Service(url, admin_key), **arguments)

    options = (
        click.option(
            "--url",
            envvar="APIMETRY_QUERY_URL",
            default=DEFAULT_URL,
            show_default=True,
            show_envvar=True,
            callback=_http_url,
            help="address of the query service",
        ),
        click.option(
            "--admin-key", envvar="APIMETRY_ADMIN_KEY", required=True, show_envvar=True, help="an admin key"
        ),
        click.option("--json", "as_json", is_flag=True, help="print JSON"),
    )
    for option in options:
        wrapper = option(wrapper)
    return wrapper


@click.group()
def applications() -> None:
    """List, create and delete the organization's applications."""


@applications.command("list")
@with_service
def list_applications(service: Service, *, as_json: bool) -> None:
    """List the organization's applications."""
    print_rows(list(service.rows("/api/applications", "applications")), APPLICATION_COLUMNS, as_json=as_json)


@applications.command("create")
@click.option("--name", required=True, help="what people call it")
@click.option("--id", "application_id", help="its id [default: a generated one]")
@click.option("--retention-days", type=click.IntRange(min=1), help="days after which its events are deleted")
@with_service
def create_application(
    service: Service, *, name: str, application_id: str | None, retention_days: int | None, as_json: bool
) -> None:
    """Create an application."""
    body = {"name": name, "id": application_id, "retentionDays": retention_days}
    given = {member: value for member, value in body.items() if value is not None}
    print_record(service.call("POST", "/api/applications", given)["application"], as_json=as_json)


@applications.command("delete")
@click.argument("application_id", metavar="ID")
@click.option("--events", is_flag=True, help="delete its stored events, too")
@with_service
def delete_application(service: Service, *, application_id: str, events: bool, as_json: bool) -> None:
    """Delete an application; its keys stop working. Events go by a job, which may still run when this returns."""
    query = "?events=true" if events else ""
    answer = service.call("DELETE", f"/api/applications/{urllib.parse.quote(application_id, safe='')}{query}")
    job = {"job": answer["job"]["id"], "state": answer["job"]["state"]} if answer else {}
    print_record({"deleted": application_id, **job}, as_json=as_json)


@click.group()
def keys() -> None:
    """List, create, rotate and delete the organization's API keys."""


@keys.command("list")
@with_service
def list_keys(service: Service, *, as_json: bool) -> None:
    """List the organization's keys: what each may do, its first characters and its last use."""
    print_rows(list(service.rows("/api/keys", "keys")), KEY_COLUMNS, as_json=as_json)


@keys.command("create")
@click.option("--kind", type=click.Choice([each.value for each in KeyKind]), required=True, help="what it may do")
@click.option("--application", help="id of the application that a write or read key is for")
@click.option("--name", default="", help="what people call it")
@with_service
def create_key(service: Service, *, kind: str, application: str | None, name: str, as_json: bool) -> None:
    """Create a key and print it; it is shown this once."""
    body: dict[str, object] = {"kind": kind, "name": name}
    if application is not None:
        body["application"] = application
    _print_new_key(service.call("POST", "/api/keys", body), as_json=as_json)


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap-s",
    type=click.IntRange(min=0),
    default=86400,
    show_default=True,
    help="seconds for which the old key goes on working",
)
@with_service
def rotate_key(service: Service, *, key_id: str, overlap_s: int, as_json: bool) -> None:
    """Replace a key by a new one of the same kind and print it; it is shown this once."""
    path = f"/api/keys/{urllib.parse.quote(key_id, safe='')}/rotate"
    _print_new_key(service.call("POST", path, {"overlapS": overlap_s}), as_json=as_json)


@keys.command("delete")
@click.argument("key_id", metavar="ID")
@with_service
def delete_key(service: Service, *, key_id: str, as_json: bool) -> None:
    """Revoke a key; it stops working everywhere within 30 seconds."""
    service.call("DELETE", f"/api/keys/{urllib.parse.quote(key_id, safe='')}")
    print_record({"revoked": key_id}, as_json=as_json)


def _print_new_key(answer: Mapping[str, Any], *, as_json: bool) -> None:
    print_record({"secret": answer["secret"], **answer["key"]}, as_json=as_json)
