"""The service's own pages and its OpenAPI document. They carry their style, load nothing and run no script."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import version
from importlib.resources import files
from string import Template

import msgspec
from aiohttp import web

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.pages.reference import reference_html

_TEMPLATES = files("apimetry.query_api.pages") / "templates"


class Pages:
    """Ready answers, made once at start."""

    def __init__(self, document: Json) -> None:
        self._document = msgspec.json.encode(document)
        self._style = _read("style.css")
        self._start = self._page("apimetry", Template(_read("start.html")).substitute())
        self._reference = self._page("apimetry: reference", reference_html(document))
        style_hash = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = {
            # The one style element is allowed by its hash, everything else by nothing.
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; img-src data:;"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the pages."""
        return [
            web.get("/docs", self.reference),
            web.get("/openapi.json", self.openapi),
        ]

    async def start(self, _: web.Request) -> web.Response:
        """Answer the root of an installation without a dashboard: what this is, and how to ask the first question."""
        return web.Response(text=self._start, content_type="text/html", headers=self._headers)

    async def reference(self, _: web.Request) -> web.Response:
        """Answer the OpenAPI document as a page."""
        return web.Response(text=self._reference, content_type="text/html", headers=self._headers)

    async def openapi(self, _: web.Request) -> web.Response:
        """Answer the OpenAPI document."""
        return web.Response(body=self._document, content_type="application/json")

    def _page(self, title: str, body: str) -> str:
        page = Template(_read("page.html"))
        return page.substitute(title=title, style=self._style, body=body, version=version("apimetry"))


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
