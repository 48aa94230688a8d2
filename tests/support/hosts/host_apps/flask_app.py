"""A Flask application with our one line."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

from apimetry.middleware.wsgi import WSGIMiddleware

app = Flask(__name__)
app.wsgi_app = WSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]


@app.get("/v1/scores/<int:identity>")
def read_score(identity: int) -> dict[str, int]:
    return {"identity": identity, "score": 7}


@app.post("/v1/scores")
def create_score() -> tuple[Any, int]:
    return request.get_json(), 201


@app.get("/boom")
def boom() -> str:
    raise ZeroDivisionError("boom")
