"""Applications that leave nothing of their routing behind: their routers are asked once more for the same path."""

# ruff: noqa: ANN401  # objects of several frameworks, none of which is imported here
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from apimetry.middleware.routes import BRACE, UNMATCHED_NAMES, function_name, werkzeug_template

if TYPE_CHECKING:
    from apimetry.middleware.routes import Names


def find_router(app: Any) -> Any:
    """Return what can be asked for a route: the application that a callable belongs to, or None.

    Flask, Quart and others route by Werkzeug's map, Falcon and Pyramid by routers of their own.
    """
    owner = getattr(app, "__self__", app)
    is_known = hasattr(owner, "url_map") or hasattr(owner, "routes_mapper") or _has_falcon_router(owner)
    return owner if is_known else None


def ask_router(owner: Any, path: str, method: str, *, websocket: bool = False) -> Names:
    """Ask an application of `find_router` for the route and the function of a path.

    Args:
        owner: the application, or None.
        path: the path within the application.
        method: the request's method.
        websocket: whether a websocket is opened.
    """
    if owner is None:
        return UNMATCHED_NAMES
    try:
        if _has_falcon_router(owner):
            return _ask_falcon(owner, path, method)
        if hasattr(owner, "routes_mapper"):
            return _ask_pyramid(owner, path)
        adapter = owner.url_map.bind("localhost", "/")
        rule, _ = adapter.match(path, method=method, return_rule=True, websocket=websocket or None)
    except Exception:  # noqa: BLE001  # NotFound, RequestRedirect, MethodNotAllowed, another kind of map: unmatched
        return UNMATCHED_NAMES
    view = getattr(owner, "view_functions", {}).get(rule.endpoint)
    return werkzeug_template(rule.rule), function_name(view, method) if view else str(rule.endpoint)


def _has_falcon_router(owner: Any) -> bool:
    return hasattr(owner, "add_route") and hasattr(getattr(owner, "_router", None), "find")


def _ask_pyramid(owner: Any, path: str) -> Names:
    """Find the first of Pyramid's routes that fits; which view answered is not to be seen, so its name stands in."""
    for route in owner.routes_mapper.get_routes():
        if route.match(path) is not None:
            return "/" + pyramid_template(route.pattern), str(route.name)
    return UNMATCHED_NAMES


def _ask_falcon(owner: Any, path: str, method: str) -> Names:
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
