"""An aiohttp application with our one line; serves on the port of its one argument."""

from __future__ import annotations

import sys

from aiohttp import web

from apimetry.middleware.aiohttp import aiohttp_middleware


async def read_score(request: web.Request) -> web.Response:
    return web.json_response({"identity": int(request.match_info["identity"]), "score": 7})


async def create_score(request: web.Request) -> web.Response:
    return web.json_response(await request.json(), status=201)


async def boom(request: web.Request) -> web.Response:
    raise ZeroDivisionError("boom")


def make_app() -> web.Application:
    app = web.Application(middlewares=[aiohttp_middleware()])
    app.add_routes(
        [
            web.get("/v1/scores/{identity}", read_score),
            web.post("/v1/scores", create_score),
            web.get("/boom", boom),
        ]
    )
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
