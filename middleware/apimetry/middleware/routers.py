"""Applications that leave nothing of their routing behind: their routers are asked once more for the same path."""

# ruff: noqa: ANN401  # objects of several frameworks, none of which is imported here
from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from apimetry.middleware.routes import (
    BRACE,
    UNMATCHED_NAMES,
    bottle_filters,
    fits,
    function_name,
    werkzeug_template,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from apimetry.middleware.routes import Names


def find_router(app: Any) -> Any:
    """Return what can be asked for a route: the application that a callable belongs to, or None.

    Flask, Quart and others route by Werkzeug's map, Falcon and Pyramid by routers of their own; Litestar and Bottle
    leave their routes behind, but for a method that a path does not have.
    """
    owner = getattr(app, "__self__", app)
    return owner if _find_asker(owner) is not None else None


def ask_router(owner: Any, path: str, method: str, *, websocket: bool = False) -> Names:
    """Ask an application of `find_router` for the route and the function of a path.

    Args:
        owner: the application, or None.
        path: the path within the application.
        method: the request's method.
        websocket: whether a websocket is opened.
    """
    ask = None if owner is None else _find_asker(owner)
    if ask is None:
        return UNMATCHED_NAMES
    try:
        return ask(owner, path, method, websocket)
    except Exception:  # noqa: BLE001  # NotFound, RequestRedirect, MethodNotAllowed, another kind of map: unmatched
        return UNMATCHED_NAMES


def _find_asker(owner: Any) -> Callable[[Any, str, str, bool], Names] | None:
    if hasattr(owner, "add_route") and hasattr(getattr(owner, "_router", None), "find"):
        return _ask_falcon
    if hasattr(owner, "url_map"):
        return _ask_werkzeug
    if hasattr(owner, "routes_mapper"):
        return _ask_pyramid
    if hasattr(owner, "asgi_router"):
        return _ask_litestar
    return _ask_bottle if hasattr(getattr(owner, "router", None), "match") else None


def _ask_werkzeug(owner: Any, path: str, method: str, websocket: bool) -> Names:
    adapter = owner.url_map.bind("localhost", "/")
    rule, _ = adapter.match(path, method=method, return_rule=True, websocket=websocket or None)
    view = getattr(owner, "view_functions", {}).get(rule.endpoint)
    return werkzeug_template(rule.rule), function_name(view, method) if view else str(rule.endpoint)


def _ask_pyramid(owner: Any, path: str, _method: str, _websocket: bool) -> Names:
    """Find the first of Pyramid's routes that fits; which view answered is not to be seen, so its name stands in."""
    for route in owner.routes_mapper.get_routes():
        if route.match(path) is not None:
            return "/" + pyramid_template(route.pattern), str(route.name)
    return UNMATCHED_NAMES


def _ask_bottle(owner: Any, path: str, _method: str, _websocket: bool) -> Names:
    """Find what has the path under another method; Bottle keeps what has it under the request's own."""
    for method in sorted({route.method for route in owner.routes}):
        with contextlib.suppress(Exception):  # no match is an exception of Bottle's
            route, _ = owner.router.match({"PATH_INFO": path, "REQUEST_METHOD": method})
            return werkzeug_template(bottle_filters(route.rule)), ""
    return UNMATCHED_NAMES


def _ask_litestar(owner: Any, path: str, _method: str, _websocket: bool) -> Names:
    """Find the one route that has the path; Litestar keeps the one that has the method too."""
    templates = {BRACE.sub(r"{\1}", route.path_format) for route in owner.routes}
    fitting = [template for template in templates if fits(template, path.rstrip("/") or "/", "[^/]+")]
    return (fitting[0], "") if len(fitting) == 1 else UNMATCHED_NAMES


def _ask_falcon(owner: Any, path: str, method: str, _websocket: bool) -> Names:
    found = owner._router.find(path)  # noqa: SLF001  # there is no public way
    if not found or found[0] is None:
        return UNMATCHED_NAMES
    resource, template = found[0], found[3]
    responder = f"on_{method.lower()}"
    function = f"{function_name(type(resource))}.{responder}" if hasattr(resource, responder) else ""
    return BRACE.sub(r"{\1}", template), function


def pyramid_template(pattern: str) -> str:
    r"""Spell a Pyramid pattern: ``/v1/{identity:\d+}/*rest`` is ``v1/{identity}/{rest}``."""
    return re.sub(r"\*(\w+)$", r"{\1}", BRACE.sub(r"{\1}", pattern)).lstrip("/")
