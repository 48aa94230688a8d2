from __future__ import annotations

import functools

import pytest

from apimetry.middleware.function_names import function_name

HERE = __name__


def show(request):
    return request


class Plain:
    def get(self):
        return None

    def show(self):
        return None

    @classmethod
    def made(cls):
        return None


class Child(Plain):
    pass


class Callable:
    def __call__(self, request):
        return None


def leaves_nothing(func):
    def wrapper(*arguments):
        return func(*arguments)

    return wrapper


def sets_the_name(anything):
    def wrapper(*arguments):
        return anything(*arguments)

    wrapper.__name__ = anything.__name__
    return wrapper


def wraps(func):
    @functools.wraps(func)
    def wrapper(*arguments):
        return func(*arguments)

    return wrapper


def with_arguments(level):
    def decorate(view):
        def wrapper(*arguments):
            return level and view(*arguments)

        return wrapper

    return decorate


def make_renamed():
    def anonymous(request):
        return None

    anonymous.__name__ = "named_view"
    return anonymous


def make_class_of(func):
    """As REST framework's `api_view` does it."""
    view_class = type("WrappedAPIView", (Plain,), {})

    def handler(self, *arguments):
        return func(*arguments)

    for verb in ("get", "post"):
        setattr(view_class, verb, handler)
    view_class.__name__, view_class.__module__ = func.__name__, func.__module__
    view = leaves_nothing(lambda request: None)
    view.cls = view_class
    return view


def make_view():
    def view(request):
        return None

    view.view_class = Plain
    return view


HANDLERS = (
    (show, "show"),
    (Plain, "Plain.get"),
    (Child, "Child.get"),
    (Callable(), "Callable"),
    (Callable().__call__, "Callable.__call__"),
    (Plain().show, "Plain.show"),
    (Child().show, "Child.show"),
    (Child.made, "Child.made"),
    (functools.partial(show, 1), "show"),
    (functools.partial(functools.partial(Plain().show)), "Plain.show"),
    (functools.lru_cache(show), "show"),
    (wraps(show), "show"),
    (leaves_nothing(show), "show"),
    (leaves_nothing(wraps(functools.partial(leaves_nothing(show)))), "show"),
    (sets_the_name(show), "show"),
    (with_arguments(1)(show), "show"),
    (make_renamed(), "named_view"),
    (make_class_of(show), "show"),
    (make_class_of(wraps(show)), "show"),
    (make_view(), "Plain.get"),
    (leaves_nothing(make_view()), "Plain.get"),
    (wraps(make_view()), "Plain.get"),
    (leaves_nothing(Plain().show), "Plain.show"),
)


@pytest.mark.parametrize(("endpoint", "name"), HANDLERS, ids=map(str, range(len(HANDLERS))))
def test_function_is_named_as_a_developer_would_look_for_it(endpoint, name):
    assert function_name(endpoint, "GET") == f"{HERE}.{name}"


def test_lambda_is_named_by_where_it_stands():
    assert function_name(lambda request: None) == f"{HERE}.test_lambda_is_named_by_where_it_stands.<locals>.<lambda>"


@pytest.mark.parametrize("method", ["__init__", "MRO", "DISPATCH-X", "x" * 100_000, "", "SHOW ME"])
def test_method_that_a_client_makes_up_names_no_attribute(method):
    assert function_name(Plain, method) == f"{HERE}.Plain"


def test_callable_that_says_yes_to_everything_is_named_all_the_same():
    class Anything:
        def __getattr__(self, name):
            return self

        def __call__(self):
            return None

    assert function_name(Anything()).startswith(HERE)


def test_function_without_a_module_has_its_name():
    assert function_name(str.upper) == "str.upper"
    assert function_name(print) == "builtins.print"
