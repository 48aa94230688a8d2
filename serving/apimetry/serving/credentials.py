"""Who sends a request: the key in one of three headers, the key's kind, and the request's application.

The rules come from docs/api.md, "Keys". A key is accepted as ``X-API-Key: KEY`` or ``Api-Key: KEY``, as
``Authorization: Bearer KEY``, or as ``X-Auth-Key: KEY`` with ``X-Auth-User: APPLICATION_ID``. The token of a
session or a link is sent alike.
This module reads headers and the query string only, so that a handler authorizes before it reads a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from apimetry.serving.errors import BadRequest, Forbidden, NotFound, Unauthorized
from apimetry.store.accounts.accounts import Application, KeyKind, Organization
from apimetry.store.accounts.directory import Directory, Principal


@dataclass(frozen=True)
class Access:
    """What an authorized request may act on. `application` is None only for an admin key without an application."""

    principal: Principal
    organization: Organization
    application: Application | None


@dataclass(frozen=True)
class ApplicationAccess:
    """What an authorized request about one application may act on."""

    principal: Principal
    organization: Organization
    application: Application


def key_in(headers: Mapping[str, str]) -> str | None:
    """Return the key in the headers, or None. An ``Authorization`` header of another scheme is ignored."""
    key = headers.get("X-API-Key", "").strip() or headers.get("Api-Key", "").strip()
    if key:
        return key
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("X-Auth-Key", "").strip() or None


async def authorize(
    request: web.Request,
    directory: Directory,
    *kinds: KeyKind,
    purpose: str = "use this endpoint",
    takes_links: bool = False,
) -> Access:
    """Return what the request may act on.

    Args:
        request: only its headers and its query string are read.
        directory: finds the key's principal.
        kinds: the kinds of keys that are allowed.
        purpose: the end of the sentence "Only ... keys can ..." of a refusal.
        takes_links: whether a link is allowed where a read key is. Then the caller keeps within what the link binds
            (`principal.fixed`).

    Raises:
        Unauthorized: no key, an unknown key, or ``X-Auth-User`` names an application that is not the key's.
        Forbidden: a key of another kind, a link where none is allowed, or a key of one application in a request
            about another application.
        NotFound: an admin key and an application that its organization does not have.
        StoreUnavailable: no key was read from the store since the start.
    """
    secret = key_in(request.headers)
    principal = await directory.find(secret) if secret else None
    if principal is None:
        raise Unauthorized
    organization = directory.organization(principal.organization_id)
    if organization is None:
        raise Unauthorized
    claimed = _claimed_application(request, directory, principal)
    if principal.kind not in kinds:
        allowed = " and ".join(kind.value.capitalize() for kind in kinds)
        raise Forbidden(f"Only {allowed} keys can {purpose}")
    if principal.fixed is not None and not takes_links:
        raise Forbidden("Only keys and sessions can do this: a link shows no more than what it was made for")
    application = _application(request, directory, principal, claimed)
    return Access(principal, organization, application)


async def authorize_application(
    request: web.Request,
    directory: Directory,
    *kinds: KeyKind,
    purpose: str = "use this endpoint",
    takes_links: bool = False,
) -> ApplicationAccess:
    """Return what a request about one application may act on. Arguments and errors are those of `authorize`.

    Raises:
        BadRequest: an admin key, and a request that names no application.
    """
    access = await authorize(request, directory, *kinds, purpose=purpose, takes_links=takes_links)
    if access.application is None:
        raise BadRequest("An admin key must name the application: add ?application=ID, or the header X-Auth-User: ID")
    return ApplicationAccess(access.principal, access.organization, access.application)


def _claimed_application(request: web.Request, directory: Directory, principal: Principal) -> str | None:
    """Return the id in ``X-Auth-User`` after checking that it belongs to the key."""
    claimed = request.headers.get("X-Auth-User", "").strip()
    if not claimed:
        return None
    application = directory.application(claimed)
    if application is None or application.organization_id != principal.organization_id:
        raise Unauthorized
    if principal.application_id not in (None, claimed):
        raise Unauthorized
    return claimed


def _application(
    request: web.Request, directory: Directory, principal: Principal, claimed: str | None
) -> Application | None:
    parameter = request.query.get("application", "").strip() or None
    if claimed and parameter and claimed != parameter:
        raise BadRequest(f"X-Auth-User and application name two applications: {claimed!r} and {parameter!r}")
    application_id = parameter or claimed
    if principal.application_id is not None:
        if application_id not in (None, principal.application_id):
            raise Forbidden("This key belongs to another application")
        application = directory.application(principal.application_id)
        if application is None:
            raise Unauthorized
        return application
    if application_id is None:
        return None
    application = directory.application(application_id)
    if application is None or application.organization_id != principal.organization_id:
        raise NotFound(f"No application {application_id!r} in this organization")
    return application
