"""A Starlette application with our one line."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from apimetry.middleware.asgi import ASGIMiddleware


async def read_score(request: Request) -> JSONResponse:
    return JSONResponse({"identity": int(request.path_params["identity"]), "score": 7})


async def create_score(request: Request) -> JSONResponse:
    return JSONResponse(await request.json(), status_code=201)


async def boom(request: Request) -> JSONResponse:
    raise ZeroDivisionError("boom")


app = Starlette(
    routes=[
        Route("/v1/scores/{identity}", read_score),
        Route("/v1/scores", create_score, methods=["POST"]),
        Route("/boom", boom),
    ]
)
app.add_middleware(ASGIMiddleware)
