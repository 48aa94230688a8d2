"""Applications that leave nothing of their routing behind: their routers are asked once more for the same path."""

# ruff: noqa: ANN401  # objects of several frameworks, none of which is imported here
from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from apimetry.middleware.function_names import function_name
from apimetry.middleware.route_templates import (
    bottle_template,
    brace_template,
    fits,
    pyramid_template,
    werkzeug_template,
)
from apimetry.middleware.routes import MOUNT_REST, UNMATCHED_NAMES, NameCache, django_names, template_of
from apimetry.middleware.wrappers import find_within

if TYPE_CHECKING:
    from apimetry.middleware.routes import Names


_FULL: Final = 2
"""Starlette's `Match.FULL`; 1 is a match but for the method."""
_MAX_SEARCHES: Final = 1000


class Asked(NamedTuple):
    """A request whose route is asked for.

    Attributes:
        path: as the outermost of our middlewares got it.
        method: the request's.
        prefix: what the server mounts the application under; the path may or may not begin with it.
        is_websocket: whether a websocket is opened.
        headers: of ASGI, for applications that route by host.
    """

    path: str
    method: str
    prefix: str = ""
    is_websocket: bool = False
    headers: Iterable[tuple[bytes, bytes]] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The path without the prefix, and, where it begins with that, as it came: frameworks differ."""
        prefix = self.prefix.rstrip("/")
        if prefix and (self.path == prefix or self.path.startswith(f"{prefix}/")):
            return self.path[len(prefix) :] or "/", self.path
        return (self.path,)


Routers: TypeAlias = "tuple[tuple[str, Any], ...]"
"""Applications that can be asked, each with the prefix under which a dispatcher has it; longer prefixes first."""


class RouterSearch:
    """Finds the routers of one application, and keeps them.

    A wrapper may get its application after the middleware was made, so a search without a result is repeated. An
    application without routers is searched `_MAX_SEARCHES` times at most: a search costs its request 5 µs or more.

    Mutable state: two attributes. A race between threads costs one more search.
    """

    __slots__ = ("_routers", "_searches_left")

    def __init__(self) -> None:
        self._routers: Routers = ()
        self._searches_left = _MAX_SEARCHES

    def find(self, app: Any) -> Routers:
        """Return the routers of an application, which is the same one at every call."""
        if not self._routers and self._searches_left > 0:
            self._searches_left -= 1
            self._routers = find_routers(app)
        return self._routers


def find_routers(app: Any) -> Routers:
    """Return what can be asked for a route in what a callable is or wraps.

    Flask, Quart and others route by Werkzeug's map; Starlette, Django, Falcon and Pyramid by routers of their own;
    Litestar and Bottle leave their routes behind, but for a method that a path does not have.
    """
    return find_within(app, lambda owner: _find_asker(owner) is not None)


def is_falcon(owner: Any) -> bool:
    """Tell whether an application is one of Falcon's."""
    return hasattr(owner, "add_route") and hasattr(getattr(owner, "_router", None), "find")


def ask_routers(routers: Routers, asked: Asked) -> Names:
    """Ask the applications of `find_routers` for the route and the function of a request."""
    for path in asked.paths:
        for prefix, owner in routers:
            if path != prefix and not path.startswith(f"{prefix}/"):
                continue
            names = _ask(owner, asked._replace(path=path[len(prefix) :] or "/", prefix=""))
            if names is not UNMATCHED_NAMES:
                return prefix + names[0] if prefix else names[0], names[1]
    return UNMATCHED_NAMES


def _ask(owner: Any, asked: Asked) -> Names:
    asker = _find_asker(owner)
    try:
        return UNMATCHED_NAMES if asker is None else asker(owner, asked)
    except Exception:  # noqa: BLE001  # NotFound, RequestRedirect, Resolver404, another kind of map: unmatched
        return UNMATCHED_NAMES


def _find_asker(owner: Any) -> Callable[[Any, Asked], Names] | None:
    if is_falcon(owner):
        return _ask_falcon
    for attribute, asker in (
        ("url_map", _ask_werkzeug),
        ("routes_mapper", _ask_pyramid),
        ("asgi_router", _ask_litestar),
        ("resolve_request", _ask_django),
    ):
        if hasattr(owner, attribute):
            return asker
    if hasattr(getattr(owner, "router", None), "match"):
        return _ask_bottle
    return _ask_starlette if isinstance(getattr(owner, "routes", None), list) else None


def _ask_werkzeug(owner: Any, asked: Asked) -> Names:
    adapter = owner.url_map.bind("localhost", "/")
    arguments = {"path_info": asked.path, "return_rule": True, "websocket": asked.is_websocket or None}
    try:
        rule, _ = adapter.match(method=asked.method, **arguments)
    except Exception as error:
        allowed = getattr(error, "valid_methods", None)
        if not allowed:
            raise
        rule, _ = adapter.match(method=next(iter(allowed)), **arguments)
        return werkzeug_template(rule.rule), ""
    view = getattr(owner, "view_functions", {}).get(rule.endpoint)
    return werkzeug_template(rule.rule), function_name(view, asked.method) if view else str(rule.endpoint)


def _ask_django(_owner: Any, asked: Asked) -> Names:
    match = sys.modules["django.urls"].resolve(asked.path)
    return django_names(NameCache(), match, asked.method)


def _ask_starlette(owner: Any, asked: Asked) -> Names:
    scope = {
        "type": "websocket" if asked.is_websocket else "http",
        "path": asked.path,
        "root_path": "",
        "method": asked.method,
        "headers": list(asked.headers),
        "query_string": b"",
    }
    return _match_starlette(owner.routes, scope, "") or UNMATCHED_NAMES


def _match_starlette(routes: Any, scope: dict[str, Any], prefix: str) -> Names | None:
    """Find the first route that matches whole, or else the first that lacks the method alone, as Starlette does."""
    partial = None
    for route in routes:
        candidates = getattr(route, "effective_candidates", None)
        if candidates is not None:  # a router that FastAPI includes: each of its routes knows its whole path
            match, child = (_FULL if _match_starlette(candidates(), scope, prefix) else 0), {}
        else:
            match, child = route.matches(scope)
            match = match.value
        if match == _FULL:
            return _name_starlette(route, {**scope, **child}, prefix)
        if match and partial is None:
            partial = route, child
    return None if partial is None else _name_starlette(partial[0], {**scope, **partial[1]}, prefix)


def _name_starlette(route: Any, scope: dict[str, Any], prefix: str) -> Names | None:
    candidates = getattr(route, "effective_candidates", None)
    if candidates is not None:
        return _match_starlette(candidates(), scope, prefix)
    template = prefix + (template_of(route) or "")
    app = getattr(route, "app", None)
    if hasattr(route, "routes"):  # a mount, or a host
        if route.routes:
            return _match_starlette(route.routes, scope, template.removesuffix(MOUNT_REST))
        if inner := find_routers(app):
            rest = scope["path"].removeprefix(scope["root_path"]) or "/"
            found = ask_routers(
                inner, Asked(rest, scope["method"], "", scope["type"] == "websocket", scope["headers"])
            )
            return None if found is UNMATCHED_NAMES else (template.removesuffix(MOUNT_REST) + found[0], found[1])
    endpoint = scope.get("endpoint")
    return template or "/", "" if endpoint is None else function_name(endpoint, scope["method"])


def _ask_pyramid(owner: Any, asked: Asked) -> Names:
    """Find the first of Pyramid's routes that fits, and its view; its own name where that is not certain."""
    for route in owner.routes_mapper.get_routes():
        if route.match(asked.path) is not None:
            return pyramid_template(route.pattern), _find_pyramid_view(owner, route.name, asked.method)
    return UNMATCHED_NAMES


def _find_pyramid_view(owner: Any, route_name: str, method: str) -> str:
    found = set()
    for category in owner.registry.introspector.get_category("views") or ():
        view = category["introspectable"]
        methods = view.get("request_methods") or method
        if view.get("route_name") == route_name and method in ((methods,) if isinstance(methods, str) else methods):
            name = function_name(view["callable"])
            found.add(f"{name}.{view['attr']}" if view.get("attr") else name)
    return found.pop() if len(found) == 1 else str(route_name)


def _ask_bottle(owner: Any, asked: Asked) -> Names:
    """Find what has the path under the request's method, or else under another."""
    for method in (asked.method, *sorted({route.method for route in owner.routes})):
        with contextlib.suppress(Exception):  # no match is an exception of Bottle's
            route, _ = owner.router.match({"PATH_INFO": asked.path, "REQUEST_METHOD": method})
            function = function_name(route.callback) if method == asked.method else ""
            return bottle_template(route.rule), function
    return UNMATCHED_NAMES


def _ask_litestar(owner: Any, asked: Asked) -> Names:
    """Find the one route that has the path; Litestar keeps the one that has the method too."""
    templates = {brace_template(route.path_format) for route in owner.routes}
    fitting = [template for template in templates if fits(template, asked.path.rstrip("/") or "/")]
    return (fitting[0], "") if len(fitting) == 1 else UNMATCHED_NAMES


def _ask_falcon(owner: Any, asked: Asked) -> Names:
    found = owner._router.find(asked.path)  # noqa: SLF001  # there is no public way
    if not found or found[0] is None:
        return UNMATCHED_NAMES
    responder = found[1].get(asked.method)
    function = "" if responder is None else function_name(responder)
    # What Falcon answers with by itself, 405 for one, is nobody's function.
    return brace_template(found[3]), "" if function.startswith("falcon.") else function
