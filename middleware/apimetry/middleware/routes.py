"""Which route and function answered, in one spelling for all frameworks: ``/v1/scores/{identity}``.

Reads what the frameworks leave behind and imports none of them. Everything here may meet a framework it does not
know: then the route is unmatched, never an error. The path that a server or a proxy mounts the application under
(``root_path``, ``SCRIPT_NAME``) is no part of a route; what the application mounts by itself is.
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
"""Equal to `UNMATCHED_NAMES` and another object: no router has said anything, so one may be asked."""
_MAX_NAMES: Final = 4096
_MAX_KEY_CHARACTERS: Final = 64
MOUNT_REST: Final = "/{path}"


class NameCache:
    """Names by what a framework keeps of a route, so that a request costs one look-up in `entries`.

    A key is a route's id, or has it in a tuple. Names that depend on the request's method are under the key and the
    method instead. Mutable state: one dictionary, used through atomic operations, and replaced when it has grown
    beyond what routes explain.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries = _Entries()

    def find(self, key: object, method: str) -> Names | None:
        """Return the names under a key, or under the key and the method."""
        return self.entries.get(key) or self.entries.get((key, method))

    def put(self, key: object, anchor: object, template: str, handler: tuple[Any, str]) -> Names:
        """Keep a route's names for as long as the cache lives, and the object whose id is in the key.

        Args:
            key: what `find` is asked.
            anchor: the object to keep alive.
            template: the route.
            handler: what answered (None: nothing; a text: its name), and the request's method.
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
    """Tell whether a key, or what is in it, may be kept: a client can make paths and methods of any length."""
    if isinstance(key, str):
        return len(key) <= _MAX_KEY_CHARACTERS
    return all(map(_is_short, key)) if isinstance(key, tuple) else True


class _Entries(dict[object, Names]):
    """Names by key, and the objects whose ids are in the keys: alive, so that no id comes back as another's."""

    __slots__ = ("anchors",)

    def __init__(self) -> None:
        super().__init__()
        self.anchors: dict[int, object] = {}


# ASGI: Starlette, FastAPI, Litestar, and what routes by Werkzeug or keeps a router of its own


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
    """Return the names where it takes more: mounts, Starlette before 1.0, Litestar, unmatched paths."""
    method = scope.get("method", "GET")
    if "path_template" in scope:
        return _litestar_names(cache, scope, method)
    endpoint, route = scope.get("endpoint"), scope.get("route")
    if endpoint is None or getattr(endpoint if route is None else route, "routes", None):
        # Its router had no route; or none was asked, or not the mounted one's router.
        return UNMATCHED_NAMES if endpoint is None and "router" in scope else UNKNOWN_NAMES
    mounted = scope["root_path"] if "app_root_path" in scope else None
    anchor = endpoint if route is None or getattr(route, "endpoint", None) is not endpoint else route
    key = (id(anchor), mounted)
    if (names := cache.find(key, method)) is not None:
        return names
    template, is_certain = _search_template(scope, anchor)
    if template is None:
        return UNKNOWN_NAMES
    if not is_certain:  # another path may have led here: nothing to remember
        return NameCache().put(0, None, template, (endpoint, method))
    return cache.put(key, anchor, template, (endpoint, method))


def join_names(outer: Names, inner: Names) -> Names:
    """Join the names of a mount and of what an application of another kind, mounted there, has found in the rest."""
    if not outer[0].endswith(MOUNT_REST):
        return outer
    return inner if inner == UNMATCHED_NAMES else (outer[0].removesuffix(MOUNT_REST) + inner[0], inner[1])


def _litestar_names(cache: NameCache, scope: Mapping[str, Any], method: str) -> Names:
    handler, template = scope.get("route_handler"), scope["path_template"]
    key = (id(handler), template)
    route = brace_template(template) or "/"
    return cache.find(key, method) or cache.put(key, handler, route, (getattr(handler, "fn", None), method))


def _search_template(scope: Mapping[str, Any], anchor: Any) -> tuple[str | None, bool]:
    """Find the template of a route or an endpoint, and whether its root path and itself decide it alone.

    The tree of the outermost router's routes is searched. Where it does not tell (an application mounted behind a
    middleware, one endpoint under several paths), the mounts' part is the root path, with parameters put back.
    """
    found = list(_walk(getattr(scope.get("router"), "routes", ()), anchor, ""))
    templates = {template for _, template in found}
    if len(templates) == 1:
        return found[0][1] or "/", True
    path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
    # A parameter is one segment; only where that leaves none may it span several.
    for spans in (False, True):
        fitting = [template for template in templates if fits(template, path, spans=spans)]
        if len(fitting) == 1:
            return fitting[0] or "/", False
    own = template_of(anchor)
    if own is None and "app_root_path" not in scope:
        return None, True
    return _mount_prefix(scope, own or "") + (own or MOUNT_REST), False


def _walk(routes: Any, anchor: Any, prefix: str) -> Iterator[tuple[Any, str]]:
    """Yield each route that is, or whose endpoint is, the one looked for, with its whole template."""
    for route in routes or ():
        inner = getattr(route, "routes", None)
        template = template_of(route) or ""
        if route is anchor or getattr(route, "endpoint", None) is anchor:
            yield route, prefix + template
        elif inner:
            # A mount's template ends in its rest; a host has none.
            yield from _walk(inner, anchor, prefix + template.removesuffix(MOUNT_REST))
        elif getattr(route, "app", None) is anchor:
            yield route, prefix + template  # a mounted application without routes, such as static files


def template_of(route: Any) -> str | None:
    """Return a Starlette route's template; one for the path ``""`` is the root."""
    template = getattr(route, "path_format", None)
    return template or "/" if isinstance(template, str) else None


def _mount_prefix(scope: Mapping[str, Any], template: str) -> str:
    """Return the template of the mounts a request went through: their path with parameters put back."""
    prefix = str(scope["root_path"]).removeprefix(scope["app_root_path"])
    segments = prefix.split("/")
    for name, value in (scope.get("path_params") or {}).items():
        text = str(value)
        if f"{{{name}}}" not in template and text in segments:
            segments[segments.index(text)] = f"{{{name}}}"
    return "/".join(segments)


# WSGI: Flask and what else routes by Werkzeug, Bottle


def wsgi_names(cache: NameCache, environ: Mapping[str, Any], script_name: str) -> Names:
    """Return route and function of an environ that its application has routed, while its context is alive.

    Args:
        cache: the names found so far.
        environ: the WSGI environ; Flask keeps its request in ``werkzeug.request`` until the context ends.
        script_name: what SCRIPT_NAME was outside; what an application appends to it is a mount of its own.
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
    """Return the request that Flask serves of an environ of which a layer between has handed on a copy, or None."""
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
    """Return the names of a path that is routed, but not for this method (405)."""
    allowed = getattr(getattr(request, "routing_exception", None), "valid_methods", None)
    app = getattr(sys.modules.get("flask"), "current_app", None)
    if not allowed or not app:
        return UNMATCHED_NAMES
    rule, _ = app.url_map.bind_to_environ(environ).match(method=next(iter(allowed)), return_rule=True)
    names = _put_rule(NameCache(), 0, rule, environ, script_name)
    return names[0], ""


def _wsgi_names_apart(cache: NameCache, environ: Mapping[str, Any], script_name: str) -> Names:
    """Return the names of what Bottle leaves in the environ."""
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
        # Ninja's view serves every method of a path by another function.
        own_key = key if handler is view else (key, method)
        names = cache.put(own_key, view, django_template(route), (handler, method))
    return names


def ninja_view(view: Any, method: str) -> Any:
    """Return the function behind a Django Ninja view, which serves all operations of a path; others as they are."""
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
