"""`apimetry links` and `apimetry sessions`: what stands for a key while somebody looks, from the shell."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

import click

from apimetry.cli.client import Client
from apimetry.cli.manage import member_of, with_admin
from apimetry.cli.output import print_record, print_rows

LINK_COLUMNS = ("id", "name", "application", "include", "pages", "expiresAt", "lastUsedAt")
SESSION_COLUMNS = ("id", "kind", "application", "keyId", "createdAt", "expiresAt", "lastUsedAt")
NOTHING = "nothing"
# Copies of the service's names: a command that only calls a service does not import it. A test compares them.
PAGES = ("overview", "routes", "consumers", "errors", "latency", "requests")
RANGES = ("15m", "1h", "6h", "24h", "7d", "30d", "90d", "1y")
FIELDS = (
    *("consumer_id", "url", "route", "function", "source", "version", "error_type"),
    *("client_ip", "user_agent", "data"),
)


@click.group()
def links() -> None:
    """List, create and revoke links, which show a part of an application without a key."""


@links.command("list")
@with_admin
def list_links(query: Client, *, as_json: bool) -> None:
    """List the organization's live links: what each shows, until when, and its last use."""
    print_rows(list(query.rows("/api/shares", "shares")), LINK_COLUMNS, as_json=as_json)


@links.command("create")
@click.option("--application", required=True, help="id of the application that it shows a part of")
@click.option("--name", help="what people call it")
@click.option("--include", multiple=True, metavar="FIELD:VALUE", help="only these events; repeatable")
@click.option("--exclude", multiple=True, metavar="FIELD:VALUE", help="not these events; repeatable")
@click.option("--not-before", type=click.IntRange(min=0), metavar="SECONDS", help="since the epoch: nothing older")
@click.option("--range", type=click.Choice(RANGES), help="with which the page opens [default: 7d]")
@click.option(
    *("--page", "pages"),
    multiple=True,
    type=click.Choice(PAGES),
    help="a page that it shows; repeatable [default: overview]",
)
@click.option(
    "--hide",
    "hides",
    multiple=True,
    type=click.Choice((*FIELDS, NOTHING)),
    help="a field that it does not show; repeatable [default: consumer_id, url, client_ip, user_agent, data]",
)
@click.option("--expires-s", type=click.IntRange(min=0), help="seconds until it ends [default: 604800]")
@click.option("--embed-origin", "embed_origins", multiple=True, metavar="ORIGIN", help="may frame it; repeatable")
@with_admin
def create_link(query: Client, *, as_json: bool, **options: object) -> None:
    """Create a link and print it; its token is shown this once."""
    body = {member_of(name): value for name, value in options.items() if value not in (None, ())}
    if body.get("hides") == (NOTHING,):
        body["hides"] = ()
    response = query.call_json("POST", "/api/shares", body)
    print_record({**_addresses(query, response), **response["share"]}, as_json=as_json)


@links.command("revoke")
@click.argument("link_id", metavar="ID")
@with_admin
def revoke_link(query: Client, *, link_id: str, as_json: bool) -> None:
    """End a link; it shows nothing any more within 30 seconds."""
    query.call_json("DELETE", f"/api/shares/{urllib.parse.quote(link_id, safe='')}")
    print_record({"revoked": link_id}, as_json=as_json)


@click.group()
def sessions() -> None:
    """List and revoke the sessions of people who are signed in to the dashboard."""


@sessions.command("list")
@with_admin
def list_sessions(query: Client, *, as_json: bool) -> None:
    """List the organization's live sessions: the key of each, its end and its last use."""
    print_rows(list(query.rows("/api/sessions", "sessions")), SESSION_COLUMNS, as_json=as_json)


@sessions.command("revoke")
@click.argument("session_id", metavar="ID")
@with_admin
def revoke_session(query: Client, *, session_id: str, as_json: bool) -> None:
    """End a session: whoever has it must sign in again."""
    query.call_json("DELETE", f"/api/sessions/{urllib.parse.quote(session_id, safe='')}")
    print_record({"revoked": session_id}, as_json=as_json)


def _addresses(query: Client, response: Mapping[str, Any]) -> dict[str, str]:
    """Return the address of a new link, and that for a frame where some site may frame it."""
    paths = {"link": response["path"], "embed": response["embedPath"]}
    return {name: f"{query.url}{path}" for name, path in paths.items() if path is not None}
