"""Links over HTTP (docs/api.md, "Links").

A read key makes links to its own application: they show no more than the key. It sees and ends its own links alone.
"""

from __future__ import annotations

from aiohttp import web

from apimetry.query_api.http.json_body import read_body
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.store_refusals import owned
from apimetry.query_api.planning.filters import parse_filters
from apimetry.query_api.sharing.keeping import Keeping
from apimetry.query_api.sharing.link_bodies import ShareInput, new_share, share_json
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.errors import Forbidden
from apimetry.serving.service import json_response
from apimetry.store.accounts.records import KeyKind
from apimetry.store.accounts.token_records import Token, TokenKind


class LinkHandlers:
    """The handlers. A link of another organization, or for a read key of another key, is a 404."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of links."""
        return [
            web.post("/api/shares", self.create),
            web.get("/api/shares", self.list_links),
            web.delete("/api/shares/{id}", self.revoke),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Make a link. Only this response ever has its token."""
        access = await self._authorize(request)
        body = await read_body(request, ShareInput)
        parse_filters(body.include, body.exclude)
        if access.principal.application_id not in (None, body.application):
            raise Forbidden("This key belongs to another application")
        application = self._keeping.directory.application(body.application)
        owned(application, access, "application", body.application)
        key = self._keeping.key_of(access.principal)
        token, secret = await self._keeping.change(
            lambda: self._keeping.tokens.create_link(
                key, body.application, body.name, body.as_fixed(), body.expires_s
            )
        )
        return json_response(new_share(token, secret), status=201)

    async def list_links(self, request: web.Request) -> web.Response:
        """Answer one page of the live links, the oldest first: of a read key those that it made."""
        access = await self._authorize(request)
        live = await self._keeping.live(access, TokenKind.link)
        rows = [share_json(token) for token in live if _may_end(access, token)]
        return json_response(page_of(request.query.items(), rows, "shares"))

    async def revoke(self, request: web.Request) -> web.Response:
        """End a link."""
        access = await self._authorize(request)
        link_id = request.match_info["id"]
        await self._keeping.revoke(access, TokenKind.link, link_id, lambda token: _may_end(access, token))
        return web.Response(status=204)

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(
            request, self._keeping.directory, KeyKind.read, KeyKind.admin, purpose="make, see and end links"
        )


def _may_end(access: Access, link: Token) -> bool:
    """Return whether the key sees and ends a link of its organization: a read key only those that it made."""
    return access.principal.kind is KeyKind.admin or link.key_id == access.principal.key_id
