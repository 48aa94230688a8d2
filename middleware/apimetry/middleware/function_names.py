"""Name the function that answers a request, as a developer would search for it."""

# ruff: noqa: ANN401 - callables of several frameworks
from __future__ import annotations

import functools
from types import FunctionType, MethodType
from typing import Any, Final

_MAX_WRAPPERS: Final = 32
# Names that decorators give the function that they wrap, for decorators without `functools.wraps`.
_INNER: Final = frozenset(
    (
        *("func", "function", "fn", "f", "view", "view_func", "view_function", "handler", "endpoint", "callback"),
        *("wrapped", "method", "inner", "original", "target", "coro", "coroutine", "callable_", "user_function"),
    )
)


def function_name(endpoint: Any, method: str = "") -> str:
    """Return a handler's name, ``module.qualname``, without the decorators, partials and wrappers around it.

    A class with a method for the request's method is named with that method, ``views.ScoreView.get``; an instance by
    its class; a bound method by its instance's class; a view that REST framework makes of a function by the function.
    """
    actions = getattr(endpoint, "actions", None)
    handler = unwrap(endpoint)
    if isinstance(handler, type):
        verb = _find_verb(handler, method.lower(), actions)
        return f"{_qualify(handler)}.{verb}" if verb else _qualify(handler)
    if isinstance(handler, MethodType):
        owner = handler.__self__ if isinstance(handler.__self__, type) else type(handler.__self__)
        return f"{_qualify(owner)}.{handler.__name__}"
    return _qualify(handler if isinstance(getattr(handler, "__qualname__", None), str) else type(handler))


def is_by_method(endpoint: Any) -> bool:
    """Return whether a handler's name depends on the request's method."""
    return isinstance(unwrap(endpoint), type)


def unwrap(endpoint: Any) -> Any:
    """Return the class or the function behind a handler."""
    for _ in range(_MAX_WRAPPERS):
        inner = _look_inside(endpoint)
        if inner is None:
            return endpoint
        endpoint = inner
    return endpoint


def _look_inside(endpoint: Any) -> Any:
    """Return the handler that a handler wraps, or None."""
    if isinstance(endpoint, type):
        return _function_of_generated(endpoint)
    # The function that a framework makes of a class: Django and Flask, REST framework.
    for attribute in ("view_class", "cls"):
        if isinstance(candidate := getattr(endpoint, attribute, None), type):
            return candidate
    if isinstance(endpoint, MethodType):
        return None
    if isinstance(endpoint, (functools.partial, functools.partialmethod)):
        return endpoint.func
    wrapped = getattr(endpoint, "__wrapped__", None)
    if wrapped is None and isinstance(endpoint, FunctionType):
        return _inner_function(endpoint)
    # An instance has no name: asgiref's wrappers hold a function, others are named by their class.
    inner = (getattr(endpoint, attribute, None) for attribute in ("func", "awaitable"))
    return wrapped or next((function for function in inner if isinstance(function, FunctionType)), None)


def _inner_function(function: FunctionType) -> Any:
    """Return the function in the closure of a wrapper without `functools.wraps`, or None."""
    if not function.__closure__:
        return None
    # A decorator that copies the name alone keeps the wrapper's own qualified name.
    is_renamed = function.__qualname__.rpartition(".")[2] != function.__name__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True):
        try:
            inner = cell.cell_contents
        except ValueError:  # an empty cell
            continue
        if callable(inner) and inner is not function and not isinstance(inner, type):
            is_namesake = is_renamed and getattr(inner, "__name__", None) == function.__name__
            if is_namesake or (name in _INNER and hasattr(inner, "__code__")) or hasattr(inner, "view_class"):
                return inner
    return None


def _function_of_generated(endpoint: type) -> Any:
    """Return the function that a class was made of and named after, as by REST framework's `api_view`; or None."""
    if endpoint.__qualname__.rpartition(".")[2] == endpoint.__name__:
        return None
    for handler in vars(endpoint).values():
        if isinstance(handler, FunctionType):
            inner = _inner_function(handler)
            if getattr(inner, "__name__", None) == endpoint.__name__:
                return inner
    return None


def _find_verb(endpoint: type, verb: str, actions: Any) -> str:
    """Return the method of a class that serves a request's method; empty without one."""
    verb = "get" if verb == "head" and not hasattr(endpoint, verb) else verb
    # Django REST framework's view sets map every verb to a method.
    verb = actions.get(verb, verb) if isinstance(actions, dict) else verb
    is_there = verb.isidentifier() and any(callable(vars(base).get(verb)) for base in endpoint.__mro__)
    return verb if is_there and not verb.startswith("_") else ""


def _qualify(named: Any) -> str:
    qualified, name = named.__qualname__, getattr(named, "__name__", "")
    if qualified.rpartition(".")[2] != name and name:
        qualified = name  # a decorator set it, and the developer uses it
    module = getattr(named, "__module__", None)
    return f"{module}.{qualified}" if module else str(qualified)
