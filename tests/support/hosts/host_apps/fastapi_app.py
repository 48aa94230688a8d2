"""A FastAPI application with our one line."""

from __future__ import annotations

from fastapi import FastAPI

from apimetry.middleware.asgi import ASGIMiddleware

app = FastAPI()
app.add_middleware(ASGIMiddleware)


@app.get("/v1/scores/{identity}")
async def read_score(identity: int) -> dict[str, int]:
    return {"identity": identity, "score": 7}


@app.post("/v1/scores", status_code=201)
async def create_score(score: dict[str, int]) -> dict[str, int]:
    return score


@app.get("/boom")
async def boom() -> None:
    raise ZeroDivisionError("boom")
