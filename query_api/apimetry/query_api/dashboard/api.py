"""The routes of the dashboard: the page at each of its paths, and the assets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from apimetry.query_api.dashboard.files import Files, Site
from apimetry.query_api.dashboard.headers import ASSET_HEADERS, PAGE_HEADERS, headers_framed_by
from apimetry.serving.errors import Handler, NotFound

PAGES = ("routes", "consumers", "errors", "latency", "requests", "alerts", "quality", "settings")
"""The paths of the page beside the root. `dashboard/src/address.ts` has the same."""


class DashboardHandlers:
    """Answer the page and its assets.

    `fallback` answers the root where the installation has no dashboard. `framing` returns the origins whose pages may
    frame the page of a link, by the link's id.
    """

    def __init__(
        self, fallback: Handler, files: Files | None = None, framing: Callable[[str], Sequence[str]] = lambda _: ()
    ) -> None:
        self._fallback = fallback
        self._framing = framing
        self._files = files or Files()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the page and of the assets."""
        return [
            web.get("/", self.page),
            *(web.get(f"/{name}", self.page) for name in PAGES),
            web.get("/s/{id}", self.shared_page),
            web.get("/embed/{id}", self.framed_page),
            web.get("/assets/{name}", self.asset),
            web.get("/licenses.txt", self.licenses),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer the page, which reads its address itself."""
        site = self._files.site()
        if site is None:
            return await self._fallback(request)
        return _page(request, site)

    async def shared_page(self, _: web.Request) -> web.Response:
        """Answer the page of a link, whose token is in the fragment, which browsers send to nobody."""
        return self._page_below(PAGE_HEADERS)

    async def framed_page(self, request: web.Request) -> web.Response:
        """Answer the page of a link to pages of other origins, as far as the link names them."""
        return self._page_below(headers_framed_by(self._framing(request.match_info["id"])))

    def _page_below(self, headers: Mapping[str, str]) -> web.Response:
        site = self._files.site()
        if site is None:
            raise NotFound("This installation has no dashboard")
        # The page is one folder below the root, and so are the addresses of its files.
        body = site.page.replace(b'"assets/', b'"../assets/')
        return web.Response(body=body, headers={**headers, "Content-Type": "text/html; charset=utf-8"})

    async def asset(self, request: web.Request) -> web.Response:
        """Answer an asset in the smallest encoding that the client accepts."""
        site = self._files.site()
        asset = None if site is None else site.assets.get(request.match_info["name"])
        if asset is None:
            raise NotFound("No such asset")
        encoding, body = asset.body_for(request.headers.get("Accept-Encoding", ""))
        headers = {**ASSET_HEADERS, "Content-Type": asset.content_type, "Vary": "Accept-Encoding"}
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        return web.Response(body=body, headers=headers)

    async def licenses(self, _: web.Request) -> web.Response:
        """Answer the licences of what the page is made of."""
        site = self._files.site()
        if site is None:
            raise NotFound("This installation has no dashboard")
        return web.Response(text=site.licenses, content_type="text/plain")


def _page(request: web.Request, site: Site) -> web.Response:
    headers = {**PAGE_HEADERS, "ETag": site.etag}
    if request.headers.get("If-None-Match") == site.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=site.page, headers={**headers, "Content-Type": "text/html; charset=utf-8"})
