"""Sessions and sign-in codes over HTTP (docs/api.md, "Sessions")."""

from __future__ import annotations

from aiohttp import web

from apimetry.query_api.http.json_body import read_body
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.sharing.codes import SignInCode
from apimetry.query_api.sharing.keeping import Keeping
from apimetry.query_api.sharing.loopback import is_from_loopback
from apimetry.query_api.sharing.response import SessionInput, SignIn, new_session, session_json
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.errors import Forbidden, Unauthorized
from apimetry.serving.service import json_response
from apimetry.store.accounts.records import Key, KeyKind
from apimetry.store.accounts.token_records import DEFAULT_SESSION_HOURS, TokenKind


class SessionHandlers:
    """The handlers. `code` opens the first session of a service that was just started; None: there is no code."""

    def __init__(self, keeping: Keeping, code: SignInCode | None) -> None:
        self._keeping = keeping
        self._code = code

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of sessions."""
        return [
            web.post("/v1/session", self.create),
            web.delete("/v1/session", self.end),
            web.post("/v1/sign-in", self.sign_in),
            web.get("/api/sessions", self.list_sessions),
            web.delete("/api/sessions/{id}", self.revoke),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Make a session of the request's key. Only this response ever has its token."""
        access = await authorize(
            request, self._keeping.directory, KeyKind.read, KeyKind.admin, purpose="make sessions"
        )
        if access.principal.session_id is not None:
            raise Forbidden("Only a key can make a session: a session is not prolonged by itself")
        body = await read_body(request, SessionInput, may_be_empty=True)
        return await self._made(self._keeping.key_of(access.principal), body.hours)

    async def end(self, request: web.Request) -> web.Response:
        """Sign out: the session of the request ends."""
        access = await authorize(request, self._keeping.directory, KeyKind.read, KeyKind.admin, purpose="sign out")
        session_id = access.principal.session_id
        if session_id is None:
            raise Forbidden("Only a session can sign out: a key is revoked by DELETE /api/keys/ID")
        await self._keeping.revoke(access, TokenKind.session, session_id)
        return web.Response(status=204)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Make a session of the first admin key for whoever has the sign-in code, on this machine alone."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if not is_from_loopback(peer[0] if peer else None, request.headers):
            raise Forbidden("Only this machine itself can sign in by a code: open the dashboard at 127.0.0.1")
        body = await read_body(request, SignIn)
        key = self._keeping.directory.first_admin_key()
        if key is None or self._code is None or not self._code.redeem(body.code):
            raise Unauthorized("This sign-in code is wrong, used or expired; `apimetry serve` prints another")
        return await self._made(key, DEFAULT_SESSION_HOURS)

    async def list_sessions(self, request: web.Request) -> web.Response:
        """Answer one page of the organization's live sessions, the oldest first."""
        access = await self._authorize(request)
        rows = [session_json(token) for token in await self._keeping.live(access, TokenKind.session)]
        return json_response(page_of(request.query.items(), rows, "sessions"))

    async def revoke(self, request: web.Request) -> web.Response:
        """End a session of the organization."""
        access = await self._authorize(request)
        await self._keeping.revoke(access, TokenKind.session, request.match_info["id"])
        return web.Response(status=204)

    async def _made(self, key: Key, hours: int) -> web.Response:
        token, secret = await self._keeping.change(lambda: self._keeping.tokens.create_session(key, hours))
        return json_response(new_session(token, secret), status=201)

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._keeping.directory, KeyKind.admin, purpose="see and end sessions")
