"""Find the route and the function of a request, in one spelling for all frameworks: ``/v1/scores/{identity}``.

The functions read the traces that routing leaves in a request, and import no framework. For an unknown framework the
route is unmatched, never an error. The path under which a server or a proxy mounts the application (``root_path``,
``SCRIPT_NAME``) is no part of a route; the path of a mount inside the application is.
"""

# ruff: noqa: ANN401 - objects of several frameworks, none of which is imported here
from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from apimetry.middleware.event import MAX_STRING_CHARACTERS
from apimetry.middleware.function_names import function_name, is_by_method
from apimetry.middleware.nesting import MARK
from apimetry.middleware.route_templates import (
    bottle_template,
    brace_template,
    django_template,
    fits,
    werkzeug_template,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Names: TypeAlias = "tuple[str, str]"
"""A route and a function."""

UNMATCHED: Final = "(unmatched)"
UNMATCHED_NAMES: Final = (UNMATCHED, "")
UNKNOWN_NAMES: Final = (UNMATCHED, "")
"""Equal to `UNMATCHED_NAMES`, but another object: no router left a trace, so a look-up in the routers may help."""
_MAX_NAMES: Final = 4096
_MAX_KEY_CHARACTERS: Final = 64
MOUNT_REST: Final = "/{path}"


class NameCache:
    """Cache the names of routes: a request costs one look-up in `entries`.

    A key is a route's id, or a tuple that contains it. Names that depend on the request's method are stored under the
    key and the method. Mutable state: one dictionary, used through atomic operations. It is replaced when it has more
    entries than any application has routes.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries = _Entries()

    def find(self, key: object, method: str) -> Names | None:
        """Return the names under a key, or under the key and the method."""
        return self.entries.get(key) or self.entries.get((key, method))

    def put(self, key: object, anchor: object, template: str, handler: tuple[Any, str]) -> Names:
        """Store the names of a route for the life of the cache, with the object whose id is in the key.

        Args:
            key: the key for `find`.
            anchor: the object to keep alive.
            template: the route.
            handler: the function that answered (None: no function; a text: its name), and the request's method.
        """
        if len(self.entries) >= _MAX_NAMES:
            self.entries = _Entries()
        endpoint, method = handler
        function = (
            endpoint if isinstance(endpoint, str) else "" if endpoint is None else function_name(endpoint, method)
        )
        names = (template[:MAX_STRING_CHARACTERS], function[:MAX_STRING_CHARACTERS])
        entries = self.entries
        is_named_by_method = endpoint is not None and is_by_method(endpoint)
        if _is_short(key) and (not is_named_by_method or _is_short(method)):
            entries.anchors[id(anchor)] = anchor
            entries[(key, method) if is_named_by_method else key] = names
        return names


def _is_short(key: object) -> bool:
    """Return whether all texts of a key are short: a client can send paths and methods of any length."""
    if isinstance(key, str):
        return len(key) <= _MAX_KEY_CHARACTERS
    return all(map(_is_short, key)) if isinstance(key, tuple) else True


class _Entries(dict[object, Names]):
    """Map keys to names, and keep the objects alive whose ids are in the keys: no other object gets such an id."""

    __slots__ = ("anchors",)

    def __init__(self) -> None:
        super().__init__()
        self.anchors: dict[int, object] = {}


# ASGI: Starlette, FastAPI, Litestar


def asgi_names(cache: NameCache, scope: Mapping[str, Any]) -> Names:
    """Return route and function of a scope that its application has routed."""
    route = scope.get("route")
    if "app_root_path" in scope:
        return _asgi_names_apart(cache, scope)
    if "fastapi" in scope:
        # FastAPI includes routers lazily: the route knows its own path, this context the whole one.
        context = scope["fastapi"].get("effective_route_context")
        if context is not None and context.original_route is route:
            route = context
    names = cache.entries.get(id(route))
    if names is not None:
        return names
    if route is None:
        return _asgi_names_apart(cache, scope)
    method = scope.get("method", "GET")
    template = template_of(route) or UNMATCHED
    return cache.find(id(route), method) or cache.put(id(route), route, template, (scope.get("endpoint"), method))


def _asgi_names_apart(cache: NameCache, scope: Mapping[str, Any]) -> Names:
    """Return the names in the rarer cases: mounts, Starlette before 1.0, Litestar, unmatched paths."""
    method = scope.get("method", "GET")
    if "path_template" in scope:
        return _litestar_names(cache, scope, method)
    endpoint, route = scope.get("endpoint"), scope.get("route")
    if endpoint is None or getattr(endpoint if route is None else route, "routes", None):
        # The router had no route; or no router was used, or only the outer one of a mount.
        return UNMATCHED_NAMES if endpoint is None and "router" in scope else UNKNOWN_NAMES
    mounted = scope["root_path"] if "app_root_path" in scope else None
    anchor = endpoint if route is None or getattr(route, "endpoint", None) is not endpoint else route
    key = (id(anchor), mounted)
    if (names := cache.find(key, method)) is not None:
        return names
    template, is_certain = _search_template(scope, anchor)
    if template is None:
        return UNKNOWN_NAMES
    if not is_certain:  # another path may lead to the same endpoint: do not cache
        return NameCache().put(0, None, template, (endpoint, method))
    return cache.put(key, anchor, template, (endpoint, method))


def join_names(outer: Names, inner: Names) -> Names:
    """Join the names of a mount and the names that a middleware of another kind, inside the mount, shares."""
    if not outer[0].endswith(MOUNT_REST):
        return outer
    return inner if inner == UNMATCHED_NAMES else (outer[0].removesuffix(MOUNT_REST) + inner[0], inner[1])


def _litestar_names(cache: NameCache, scope: Mapping[str, Any], method: str) -> Names:
    handler, template = scope.get("route_handler"), scope["path_template"]
    key = (id(handler), template)
    route = brace_template(template) or "/"
    return cache.find(key, method) or cache.put(key, handler, route, (getattr(handler, "fn", None), method))


def _search_template(scope: Mapping[str, Any], anchor: Any) -> tuple[str | None, bool]:
    """Find the template of a route or an endpoint, and tell whether `anchor` and the root path alone determine it.

    The search walks the tree of the outermost router's routes. If the tree does not decide (an application mounted
    behind a middleware, one endpoint under several paths), the mounts' part is the root path, with its parameters.
    """
    templates = set(_walk(getattr(scope.get("router"), "routes", ()), anchor, ""))
    if len(templates) == 1:
        return templates.pop() or "/", True
    path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
    # A parameter is one segment. If no template fits so, a parameter may span several segments.
    for spans in (False, True):
        fitting = [template for template in templates if fits(template, path, spans=spans)]
        if len(fitting) == 1:
            return fitting[0] or "/", False
    own = template_of(anchor)
    if own is None and "app_root_path" not in scope:
        return None, True
    return _mount_prefix(scope, own or "") + (own or MOUNT_REST), False


def _walk(routes: Any, anchor: Any, prefix: str) -> Iterator[str]:
    """Yield the whole template of every route that is `anchor`, or has it as its endpoint."""
    for route in routes or ():
        inner = getattr(route, "routes", None)
        template = template_of(route) or ""
        if route is anchor or getattr(route, "endpoint", None) is anchor:
            yield prefix + template
        elif inner:
            # The template of a mount ends in `MOUNT_REST`, that of a host does not.
            yield from _walk(inner, anchor, prefix + template.removesuffix(MOUNT_REST))
        elif getattr(route, "app", None) is anchor:
            yield prefix + template  # a mounted application without routes, such as static files


def template_of(route: Any) -> str | None:
    """Return a Starlette route's template; ``/`` for the path ``""``, None without a template."""
    template = getattr(route, "path_format", None)
    return template or "/" if isinstance(template, str) else None


def _mount_prefix(scope: Mapping[str, Any], template: str) -> str:
    """Return the template of a request's mounts: their path, with parameters in place of their values."""
    prefix = str(scope["root_path"]).removeprefix(scope["app_root_path"])
    segments = prefix.split("/")
    for name, value in (scope.get("path_params") or {}).items():
        text = str(value)
        if f"{{{name}}}" not in template and text in segments:
            segments[segments.index(text)] = f"{{{name}}}"
    return "/".join(segments)


# WSGI: Flask and other users of Werkzeug's routing, Bottle


def wsgi_names(cache: NameCache, environ: Mapping[str, Any], script_name: str) -> Names:
    """Return route and function of an environ that its application has routed, while its context is alive.

    Args:
        cache: the cache of the middleware.
        environ: the WSGI environ; Flask keeps its request in ``werkzeug.request`` until the context ends.
        script_name: SCRIPT_NAME outside of the application; an application appends its own mounts to it.
    """
    request = environ.get("werkzeug.request")
    if request is None:
        request = _flask_request(environ)
        if request is None:
            return _wsgi_names_apart(cache, environ, script_name)
        environ = request.environ
    rule = getattr(request, "url_rule", None)
    if rule is None:
        return _refused_names(environ, request, script_name)
    mounted = environ.get("SCRIPT_NAME", "")
    key: object = id(rule) if mounted == script_name else (id(rule), mounted)
    names = cache.entries.get(key)
    if names is not None:
        return names
    return cache.find(key, environ["REQUEST_METHOD"]) or _put_rule(cache, key, rule, environ, script_name)


def _flask_request(environ: Mapping[str, Any]) -> Any:
    """Return Flask's request for an environ that a layer in between copied, or None."""
    flask = sys.modules.get("flask")
    if flask is None or MARK not in environ or not flask.has_request_context():
        return None
    request = flask.request
    return request if request.environ.get(MARK) is environ[MARK] else None


def _put_rule(cache: NameCache, key: object, rule: Any, environ: Mapping[str, Any], script_name: str) -> Names:
    prefix = environ.get("SCRIPT_NAME", "").removeprefix(script_name)
    app = getattr(sys.modules.get("flask"), "current_app", None)
    view = getattr(app, "view_functions", {}).get(rule.endpoint) if app else None
    handler = str(rule.endpoint) if view is None else view
    return cache.put(key, rule, prefix + werkzeug_template(rule.rule), (handler, environ["REQUEST_METHOD"]))


def _refused_names(environ: Mapping[str, Any], request: Any, script_name: str) -> Names:
    """Return the names of a path that has a route, but not for this method (405)."""
    allowed = getattr(getattr(request, "routing_exception", None), "valid_methods", None)
    app = getattr(sys.modules.get("flask"), "current_app", None)
    if not allowed or not app:
        return UNMATCHED_NAMES
    rule, _ = app.url_map.bind_to_environ(environ).match(method=next(iter(allowed)), return_rule=True)
    names = _put_rule(NameCache(), 0, rule, environ, script_name)
    return names[0], ""


def _wsgi_names_apart(cache: NameCache, environ: Mapping[str, Any], script_name: str) -> Names:
    """Return the names of the route that Bottle leaves in the environ."""
    route = environ.get("bottle.route")
    if route is not None:
        prefix, method = environ.get("SCRIPT_NAME", "").removeprefix(script_name), environ["REQUEST_METHOD"]
        template = prefix + bottle_template(route.rule)
        key = (id(route), prefix)
        return cache.find(key, method) or cache.put(key, route, template, (route.callback, method))
    return UNKNOWN_NAMES


# Django


def django_names(cache: NameCache, match: Any, method: str) -> Names:
    """Return route and function of a Django resolver match."""
    if match is None:
        return UNKNOWN_NAMES
    view, route = match.func, match.route
    key = (id(view), route)
    names = cache.entries.get(key)
    if names is not None:
        return names
    names = cache.entries.get((key, method))
    if names is None:
        handler = ninja_view(view, method)
        # One view of Ninja serves all methods of a path, by different functions.
        own_key = key if handler is view else (key, method)
        names = cache.put(own_key, view, django_template(route), (handler, method))
    return names


def ninja_view(view: Any, method: str) -> Any:
    """Return the function behind a Django Ninja view, which serves all operations of a path; or the view itself."""
    for cell in getattr(view, "__closure__", None) or ():
        for operation in getattr(cell.cell_contents, "operations", None) or ():
            if method in getattr(operation, "methods", ()):
                return getattr(operation, "view_func", view)
    return view


# aiohttp


def aiohttp_names(cache: NameCache, match: Any) -> Names:
    """Return route and function of an aiohttp match info."""
    if match is None or getattr(match, "http_exception", None) is not None:
        return UNMATCHED_NAMES
    route = match.route
    names = cache.entries.get(id(route))
    if names is not None:
        return names
    resource = route.resource
    template = UNMATCHED if resource is None else brace_template(resource.canonical)
    method = route.method
    return cache.find(id(route), method) or cache.put(id(route), route, template, (match.handler, method))
