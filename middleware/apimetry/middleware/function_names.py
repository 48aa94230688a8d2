"""The name that a developer would look for, of whatever a framework calls to answer a request."""

# ruff: noqa: ANN401  # callables of several frameworks
from __future__ import annotations

import functools
from types import FunctionType, MethodType
from typing import Any, Final

_MAX_WRAPPERS: Final = 32
# What a decorator calls the function that it is given, where it leaves nothing else of it.
_INNER: Final = frozenset(
    (
        *("func", "function", "fn", "f", "view", "view_func", "view_function", "handler", "endpoint", "callback"),
        *("wrapped", "method", "inner", "original", "target", "coro", "coroutine", "callable_", "user_function"),
    )
)


def function_name(endpoint: Any, method: str = "") -> str:
    """Name a handler as ``module.qualname``, as it was before decorators, partials and frameworks wrapped it.

    A class that has a method for the request's method is named with it, ``views.ScoreView.get``; an instance by its
    class; a bound method by its instance's class; what REST framework makes of a function by the function.
    """
    actions = getattr(endpoint, "actions", None)
    found = unwrap(endpoint)
    if isinstance(found, type):
        verb = _find_verb(found, method.lower(), actions)
        return f"{_qualify(found)}.{verb}" if verb else _qualify(found)
    if isinstance(found, MethodType):
        owner = found.__self__ if isinstance(found.__self__, type) else type(found.__self__)
        return f"{_qualify(owner)}.{found.__name__}"
    return _qualify(found if isinstance(getattr(found, "__qualname__", None), str) else type(found))


def is_by_method(endpoint: Any) -> bool:
    """Tell whether a handler's name depends on the request's method."""
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
    """Return what a handler wraps, or None."""
    if isinstance(endpoint, type):
        return _function_of_generated(endpoint)
    # What a framework made of a class: Django and Flask, REST framework.
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
    # An instance without a name: asgiref's wrappers have a function in them, others are named by their class.
    inner = (getattr(endpoint, attribute, None) for attribute in ("func", "awaitable"))
    return wrapped or next((function for function in inner if isinstance(function, FunctionType)), None)


def _inner_function(function: FunctionType) -> Any:
    """Return the function that a wrapper without `functools.wraps` has in its closure, or None."""
    if not function.__closure__:
        return None
    # A decorator that has copied the name alone leaves the qualified one of its own.
    is_renamed = function.__qualname__.rpartition(".")[2] != function.__name__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True):
        try:
            inner = cell.cell_contents
        except ValueError:  # not set yet
            continue
        if callable(inner) and inner is not function and not isinstance(inner, type):
            is_namesake = is_renamed and getattr(inner, "__name__", None) == function.__name__
            if is_namesake or (name in _INNER and hasattr(inner, "__code__")) or hasattr(inner, "view_class"):
                return inner
    return None


def _function_of_generated(endpoint: type) -> Any:
    """Return the function of a class that was made of one and has its name, as REST framework's `api_view` does."""
    if endpoint.__qualname__.rpartition(".")[2] == endpoint.__name__:
        return None
    for handler in vars(endpoint).values():
        if isinstance(handler, FunctionType):
            inner = _inner_function(handler)
            if getattr(inner, "__name__", None) == endpoint.__name__:
                return inner
    return None


def _find_verb(endpoint: type, verb: str, actions: Any) -> str:
    """Find the method of a class that serves a request's method; empty where there is none."""
    verb = "get" if verb == "head" and not hasattr(endpoint, verb) else verb
    # Django REST framework's view sets say which method each verb goes to.
    verb = actions.get(verb, verb) if isinstance(actions, dict) else verb
    is_there = verb.isidentifier() and any(callable(vars(base).get(verb)) for base in endpoint.__mro__)
    return verb if is_there and not verb.startswith("_") else ""


def _qualify(named: Any) -> str:
    qualified, name = named.__qualname__, getattr(named, "__name__", "")
    if qualified.rpartition(".")[2] != name and name:
        qualified = name  # set by a decorator, and what the developer calls it
    module = getattr(named, "__module__", None)
    return f"{module}.{qualified}" if module else str(qualified)
