"""Which route and function answered, in one spelling for all frameworks: ``/v1/scores/{identity}``.

Reads what the frameworks leave behind and imports none of them. Everything here may meet a framework it does not
know: then the route is unmatched, never an error.
"""

# ruff: noqa: ANN401  # objects of several frameworks, none of which is imported here
from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNMATCHED: Final = "(unmatched)"
_ANGLE: Final = re.compile(r"<(?:[^<>:]*:)?([^<>:]+)>")
_BRACE: Final = re.compile(r"{([^{}:]+):[^{}]*}")
_GROUP_NAME: Final = re.compile(r"\?P<(\w+)>")


def function_name(endpoint: Any) -> str:
    """Name a handler as ``module.qualname``; an instance by its class, a partial by its function."""
    name = getattr(endpoint, "__qualname__", None)
    if name is None:
        inner = getattr(endpoint, "func", None)
        if callable(inner):
            return function_name(inner)
        endpoint = type(endpoint)
        name = endpoint.__qualname__
    return f"{endpoint.__module__}.{name}"


def asgi_route(scope: Mapping[str, Any]) -> tuple[str, str]:
    """Return route and function of a scope that Starlette or FastAPI has routed."""
    route = scope.get("route")
    fastapi = scope.get("fastapi")
    if fastapi:
        # FastAPI includes routers lazily: the route knows its own path, this context the whole one.
        route = fastapi.get("effective_route_context") or route
    endpoint = scope.get("endpoint")
    template = getattr(route, "path_format", None)
    if template is None:
        if endpoint is None:
            return UNMATCHED, ""
        template = _search_template(scope, endpoint)
    if "app_root_path" in scope:
        template = _mount_prefix(scope, template) + template
    return template or "/", function_name(endpoint) if endpoint is not None else ""


def _search_template(scope: Mapping[str, Any], endpoint: Any) -> str:
    """Find the template where the scope carries no route: Starlette before 1.0, or a mounted application."""
    found = [
        route
        for route in _flatten(getattr(scope.get("router"), "routes", ()))
        if getattr(route, "endpoint", None) is endpoint
    ]
    path = scope["path"].removeprefix(scope.get("root_path", "")) if len(found) > 1 else ""
    for route in found:
        if len(found) == 1 or route.path_regex.match(path):
            return str(route.path_format)
    return "/{path}" if "app_root_path" in scope else UNMATCHED


def _flatten(routes: Iterable[Any]) -> Iterable[Any]:
    for route in routes or ():
        yield route
        yield from _flatten(getattr(route, "routes", ()))


def _mount_prefix(scope: Mapping[str, Any], template: str) -> str:
    """Return the template of the mounts a request went through: their path with parameters put back."""
    prefix = str(scope["root_path"]).removeprefix(scope["app_root_path"])
    if template.startswith(f"{prefix}/"):
        return ""  # the route is the mount itself
    segments = prefix.split("/")
    for name, value in (scope.get("path_params") or {}).items():
        text = str(value)
        if f"{{{name}}}" not in template and text in segments:
            segments[segments.index(text)] = f"{{{name}}}"
    return "/".join(segments)


@lru_cache(maxsize=4096)
def werkzeug_template(rule: str) -> str:
    """Spell a Werkzeug rule: ``/v1/scores/<int:identity>`` is ``/v1/scores/{identity}``."""
    return _ANGLE.sub(r"{\1}", rule)


def wsgi_route(environ: Mapping[str, Any], owner: Any) -> tuple[str, str]:
    """Return route and function of an environ that Flask has routed, while its context is alive.

    Args:
        environ: the WSGI environ; Flask keeps its request in ``werkzeug.request`` until the context ends.
        owner: the Flask application, or None.
    """
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return _rule_names(rule, environ, owner)


def match_wsgi_route(environ: Mapping[str, Any], owner: Any) -> tuple[str, str]:
    """Route an environ once more, for a request whose context is gone: an exception that Flask passed on."""
    url_map = getattr(owner, "url_map", None)
    if url_map is None:
        return UNMATCHED, ""
    try:
        rule, _ = url_map.bind_to_environ(environ).match(return_rule=True)
    except Exception:  # noqa: BLE001  # NotFound, RequestRedirect, MethodNotAllowed: all are unmatched
        return UNMATCHED, ""
    return _rule_names(rule, environ, owner)


def _rule_names(rule: Any, environ: Mapping[str, Any], owner: Any) -> tuple[str, str]:
    if rule is None:
        return UNMATCHED, ""
    view = getattr(owner, "view_functions", {}).get(rule.endpoint)
    mounted = environ.get("apimetry.script_name")
    prefix = environ.get("SCRIPT_NAME", "").removeprefix(mounted) if mounted is not None else ""
    return prefix + werkzeug_template(rule.rule), function_name(view) if view else str(rule.endpoint)


def django_route(match: Any) -> tuple[str, str]:
    """Return route and function of a Django resolver match."""
    if match is None:
        return UNMATCHED, ""
    view = match.func
    return django_template(match.route), function_name(getattr(view, "view_class", view))


@lru_cache(maxsize=4096)
def django_template(route: str) -> str:
    r"""Spell a Django route: ``v1/<int:identity>/`` and ``^v1/(?P<identity>\d+)/$`` are ``/v1/{identity}/``."""
    route = _replace_groups(route)
    route = _ANGLE.sub(r"{\1}", route)
    route = re.sub(r"\\([./\-_])", r"\1", route)
    # include() joins patterns: anchors stand in the middle too.
    return "/" + route.replace("^", "").replace("$", "").replace("\\Z", "").lstrip("/")


def _replace_groups(pattern: str) -> str:
    """Replace each outermost group of a regular expression by its name, or its number where it has none."""
    pieces, depth, start, number = [], 0, 0, 0
    for index, character in enumerate(pattern):
        if character == "(" and pattern[index - 1 : index] != "\\":
            if depth == 0:
                pieces.append(pattern[start:index])
                start = index
            depth += 1
        elif character == ")" and depth and pattern[index - 1 : index] != "\\":
            depth -= 1
            if depth == 0:
                name = _GROUP_NAME.search(pattern[start : index + 1])
                pieces.append(f"{{{name.group(1) if name else number}}}")
                number += 1
                start = index + 1
    return "".join(pieces) + pattern[start:]


def aiohttp_route(match: Any) -> tuple[str, str]:
    """Return route and function of an aiohttp match info."""
    if match is None or getattr(match, "http_exception", None) is not None:
        return UNMATCHED, ""
    resource = match.route.resource
    if resource is None:
        return UNMATCHED, function_name(match.handler)
    return _BRACE.sub(r"{\1}", resource.canonical), function_name(match.handler)
