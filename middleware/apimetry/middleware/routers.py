"""Look up routes in the routers of applications that leave no trace of their routing."""

# ruff: noqa: ANN401 - objects of several frameworks, none of which is imported here
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
"""Starlette's `Match.FULL`; 1 is a match except for the method."""
_MAX_SEARCHES: Final = 1000


class RouteLookup(NamedTuple):
    """Describe a request whose route is looked up.

    Attributes:
        path: the path that the outermost middleware received.
        method: the request's method.
        prefix: the path under which the server mounts the application; `path` may or may not begin with it.
        is_websocket: whether the request opens a websocket.
        headers: the headers of an ASGI scope, for applications that route by host.
    """

    path: str
    method: str
    prefix: str = ""
    is_websocket: bool = False
    headers: Iterable[tuple[bytes, bytes]] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the path without the prefix, and the whole path if it has the prefix. Frameworks differ."""
        prefix = self.prefix.rstrip("/")
        if prefix and (self.path == prefix or self.path.startswith(f"{prefix}/")):
            return self.path[len(prefix) :] or "/", self.path
        return (self.path,)


Routers: TypeAlias = "tuple[tuple[str, Any], ...]"
"""Pairs of a prefix and the application that a dispatcher mounts under it; longer prefixes first."""


class RouterSearch:
    """Find the routers of one application, and keep them.

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
    """Return the applications with a router that a callable is or wraps.

    Flask, Quart and others route by Werkzeug's map. Starlette, Django, Falcon and Pyramid have routers of their own.
    Litestar and Bottle leave a trace of the route, except for a method that a path does not have.
    """
    return find_within(app, lambda owner: _find_asker(owner) is not None)


def is_falcon(owner: Any) -> bool:
    """Return whether an application is one of Falcon's."""
    return hasattr(owner, "add_route") and hasattr(getattr(owner, "_router", None), "find")


def ask_routers(routers: Routers, lookup: RouteLookup) -> Names:
    """Return the route and the function of a request, by the routers of `find_routers`."""
    for path in lookup.paths:
        for prefix, owner in routers:
            if path != prefix and not path.startswith(f"{prefix}/"):
                continue
            names = _ask(owner, lookup._replace(path=path[len(prefix) :] or "/", prefix=""))
            if names is not UNMATCHED_NAMES:
                return prefix + names[0] if prefix else names[0], names[1]
    return UNMATCHED_NAMES


def _ask(owner: Any, lookup: RouteLookup) -> Names:
    asker = _find_asker(owner)
    try:
        return UNMATCHED_NAMES if asker is None else asker(owner, lookup)
    except Exception:  # noqa: BLE001 - NotFound, RequestRedirect, Resolver404, an unknown map: unmatched
        return UNMATCHED_NAMES


def _find_asker(owner: Any) -> Callable[[Any, RouteLookup], Names] | None:
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


def _ask_werkzeug(owner: Any, lookup: RouteLookup) -> Names:
    adapter = owner.url_map.bind("localhost", "/")
    arguments = {"path_info": lookup.path, "return_rule": True, "websocket": lookup.is_websocket or None}
    try:
        rule, _ = adapter.match(method=lookup.method, **arguments)
    except Exception as error:
        allowed = getattr(error, "valid_methods", None)
        if not allowed:
            raise
        rule, _ = adapter.match(method=next(iter(allowed)), **arguments)
        return werkzeug_template(rule.rule), ""
    view = getattr(owner, "view_functions", {}).get(rule.endpoint)
    return werkzeug_template(rule.rule), function_name(view, lookup.method) if view else str(rule.endpoint)


def _ask_django(_owner: Any, lookup: RouteLookup) -> Names:
    match = sys.modules["django.urls"].resolve(lookup.path)
    return django_names(NameCache(), match, lookup.method)


def _ask_starlette(owner: Any, lookup: RouteLookup) -> Names:
    scope = {
        "type": "websocket" if lookup.is_websocket else "http",
        "path": lookup.path,
        "root_path": "",
        "method": lookup.method,
        "headers": list(lookup.headers),
        "query_string": b"",
    }
    return _match_starlette(owner.routes, scope, "") or UNMATCHED_NAMES


def _match_starlette(routes: Any, scope: dict[str, Any], prefix: str) -> Names | None:
    """Find the first full match, or else the first match except for the method, as Starlette does."""
    partial = None
    for route in routes:
        candidates = getattr(route, "effective_candidates", None)
        if candidates is not None:  # a router that FastAPI includes: its routes know their whole paths
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
            lookup = RouteLookup(rest, scope["method"], "", scope["type"] == "websocket", scope["headers"])
            names = ask_routers(inner, lookup)
            return None if names is UNMATCHED_NAMES else (template.removesuffix(MOUNT_REST) + names[0], names[1])
    endpoint = scope.get("endpoint")
    return template or "/", "" if endpoint is None else function_name(endpoint, scope["method"])


def _ask_pyramid(owner: Any, lookup: RouteLookup) -> Names:
    """Find the first Pyramid route that matches, and its view; the route's name where several views are possible."""
    for route in owner.routes_mapper.get_routes():
        if route.match(lookup.path) is not None:
            return pyramid_template(route.pattern), _find_pyramid_view(owner, route.name, lookup.method)
    return UNMATCHED_NAMES


def _find_pyramid_view(owner: Any, route_name: str, method: str) -> str:
    functions = set()
    for category in owner.registry.introspector.get_category("views") or ():
        view = category["introspectable"]
        methods = view.get("request_methods") or method
        if view.get("route_name") == route_name and method in ((methods,) if isinstance(methods, str) else methods):
            name = function_name(view["callable"])
            functions.add(f"{name}.{view['attr']}" if view.get("attr") else name)
    return functions.pop() if len(functions) == 1 else str(route_name)


def _ask_bottle(owner: Any, lookup: RouteLookup) -> Names:
    """Find the route of the path for the request's method, or else for another method."""
    for method in (lookup.method, *sorted({route.method for route in owner.routes})):
        with contextlib.suppress(Exception):  # Bottle raises where no route matches
            route, _ = owner.router.match({"PATH_INFO": lookup.path, "REQUEST_METHOD": method})
            function = function_name(route.callback) if method == lookup.method else ""
            return bottle_template(route.rule), function
    return UNMATCHED_NAMES


def _ask_litestar(owner: Any, lookup: RouteLookup) -> Names:
    """Find the one route that fits the path. Litestar leaves a trace of a route that has the method too."""
    templates = {brace_template(route.path_format) for route in owner.routes}
    fitting = [template for template in templates if fits(template, lookup.path.rstrip("/") or "/")]
    return (fitting[0], "") if len(fitting) == 1 else UNMATCHED_NAMES


def _ask_falcon(owner: Any, lookup: RouteLookup) -> Names:
    match = owner._router.find(lookup.path)  # noqa: SLF001 - there is no public way
    if not match or match[0] is None:
        return UNMATCHED_NAMES
    _, responders, _, template = match
    responder = responders.get(lookup.method)
    function = "" if responder is None else function_name(responder)
    # Falcon's own responders, such as the one for 405, are no function of the host.
    return brace_template(template), "" if function.startswith("falcon.") else function
