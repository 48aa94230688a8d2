"""Change sessions and links: the accounts' snapshot has a change before its response is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from apimetry.query_api.http.store_refusals import owned, run_answered
from apimetry.serving.credentials import Access
from apimetry.serving.errors import Unauthorized
from apimetry.store.accounts.directory import Directory, Principal
from apimetry.store.accounts.records import Key
from apimetry.store.accounts.token_records import Token, TokenKind
from apimetry.store.accounts.tokens import Tokens

T = TypeVar("T")


class Keeping:
    """The tokens and the directory. This process makes one change at a time."""

    def __init__(self, tokens: Tokens, directory: Directory) -> None:
        self.tokens = tokens
        self.directory = directory
        self._changing = asyncio.Lock()

    async def change(self, call: Callable[[], T]) -> T:
        """Return the result of `call`, once the snapshot has what it changed."""
        async with self._changing:
            result = await run_answered(self.tokens.store, call)
            # The first call may join a refresh that began before the change.
            await self.directory.refresh()
            await self.directory.refresh()
            return result

    async def live(self, access: Access, kind: TokenKind) -> list[Token]:
        """Return the live tokens of the key's organization."""
        return await run_answered(self.tokens.store, lambda: self.tokens.live(access.organization.id, kind))

    async def revoke(
        self,
        access: Access,
        kind: TokenKind,
        token_id: str,
        may_end: Callable[[Token], bool] = lambda _: True,
    ) -> None:
        """End a token of the key's organization.

        Raises:
            NotFound: the organization has no token of this kind with the id, or the key may not end it.
        """

        def call() -> None:
            token = self.tokens.token(token_id)
            known = token if token.kind is kind and may_end(token) else None
            self.tokens.revoke(owned(known, access, f"{kind.value} with the id", token_id).id)

        await self.change(call)

    def key_of(self, principal: Principal) -> Key:
        """Return the key of a request; raises Unauthorized where it has just ended."""
        key = self.directory.key(principal.key_id)
        if key is None:
            raise Unauthorized
        return key
