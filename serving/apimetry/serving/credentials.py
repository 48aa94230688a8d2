"""Who is asking: a key in one of three headers, its kind, and the application that the request is about.

Source of the rules: docs/api.md, "Keys". A key is accepted as ``X-API-Key: KEY``, as ``Authorization: Bearer KEY``,
or as ``X-Auth-Key: KEY`` with ``X-Auth-User: APPLICATION_ID``.
Only headers and the query string are read here, so that a handler authorizes before it reads a body.
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
    """What an authorized request may act on; `application` is None only for an admin key that named none."""

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
    """Return the key that the headers carry, or None. ``Authorization`` of another scheme is not ours."""
    key = headers.get("X-API-Key", "").strip()
    if key:
        return key
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("X-Auth-Key", "").strip() or None


async def authorize(
    request: web.Request, directory: Directory, *kinds: KeyKind, purpose: str = "use this endpoint"
) -> Access:
    """Return what the request may act on.

    Args:
        request: only its headers and its query string are read.
        directory: where keys are looked up.
        kinds: the kinds of keys that are allowed.
        purpose: ends the sentence "Only ... keys can ..." of a refusal.

    Raises:
        Unauthorized: no key, an unknown one, or ``X-Auth-User`` names an application that is not the key's.
        Forbidden: a key of another kind, or a key of one application asked about another.
        NotFound: an admin key named an application that its organization does not have.
        StoreUnavailable: no key was ever read from the store.
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
    application = _application(request, directory, principal, claimed)
    return Access(principal, organization, application)


async def authorize_application(
    request: web.Request, directory: Directory, *kinds: KeyKind, purpose: str = "use this endpoint"
) -> ApplicationAccess:
    """Like `authorize`, for an endpoint about one application.

    Raises:
        BadRequest: an admin key that named no application.
    """
    access = await authorize(request, directory, *kinds, purpose=purpose)
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
    asked = request.query.get("application", "").strip() or None
    if claimed and asked and claimed != asked:
        raise BadRequest(f"X-Auth-User and application name two applications: {claimed!r} and {asked!r}")
    named = asked or claimed
    if principal.application_id is not None:
        if named not in (None, principal.application_id):
            raise Forbidden("This key belongs to another application")
        application = directory.application(principal.application_id)
        if application is None:
            raise Unauthorized
        return application
    if named is None:
        return None
    application = directory.application(named)
    if application is None or application.organization_id != principal.organization_id:
        raise NotFound(f"No application {named!r} in this organization")
    return application
