"""Links over HTTP, for admin keys (docs/api.md, "Links")."""

from __future__ import annotations

from aiohttp import web

from apimetry.query_api.http.json_body import read_body
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.store_refusals import owned
from apimetry.query_api.planning.filters import parse_filters
from apimetry.query_api.sharing.keeping import Keeping
from apimetry.query_api.sharing.link_bodies import ShareInput, new_share, share_json
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.service import json_response
from apimetry.store.accounts.records import KeyKind
from apimetry.store.accounts.token_records import TokenKind


class LinkHandlers:
    """The handlers. Another organization's link is a 404."""

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
        """Answer one page of the organization's live links, the oldest first."""
        access = await self._authorize(request)
        rows = [share_json(token) for token in await self._keeping.live(access, TokenKind.link)]
        return json_response(page_of(request.query.items(), rows, "shares"))

    async def revoke(self, request: web.Request) -> web.Response:
        """End a link of the organization."""
        access = await self._authorize(request)
        await self._keeping.revoke(access, TokenKind.link, request.match_info["id"])
        return web.Response(status=204)

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._keeping.directory, KeyKind.admin, purpose="make, see and end links")
