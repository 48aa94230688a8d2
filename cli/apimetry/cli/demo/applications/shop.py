"""The shop, in FastAPI."""

from __future__ import annotations

import asyncio

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from apimetry.cli.demo.applications import CONSUMER_HEADER, DURATION_HEADER, STATUS_HEADER, VERSION
from apimetry.middleware.asgi import ASGIMiddleware


class UpstreamError(Exception):
    """The payment provider does not answer."""


app = FastAPI()
app.add_middleware(
    ASGIMiddleware,  # type: ignore[arg-type]  # FastAPI types a factory of its own
    consumer=lambda scope: Request(scope).headers.get(CONSUMER_HEADER),
    source="shop",
    version=VERSION,
)


@app.get("/v1/search")
async def search(request: Request) -> Response:
    """Find items."""
    return await _told(request)


@app.get("/v1/items/{identity}")
async def read_item(identity: int, request: Request) -> Response:  # noqa: ARG001 - the route has it
    """Show an item."""
    return await _told(request)


@app.post("/v1/checkout")
async def checkout(request: Request) -> Response:
    """Buy what is in the cart."""
    return await _told(request)


@app.exception_handler(UpstreamError)
async def upstream_failed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - FastAPI's arguments
    """Answer that the payment provider is away."""
    return JSONResponse({"error": "payment provider"}, 502)


async def _told(request: Request) -> Response:
    await asyncio.sleep(float(request.headers[DURATION_HEADER]) / 1000)
    status = int(request.headers[STATUS_HEADER])
    if status == 502:
        raise UpstreamError
    if status == 500:
        raise KeyError("price")
    return JSONResponse({"ok": status < 400}, status)


def serve(port: int) -> None:
    """Serve on the loopback until the process ends."""
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")
