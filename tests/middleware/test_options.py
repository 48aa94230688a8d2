from __future__ import annotations

import functools
import re
import socket

import pytest

from apimetry.middleware.errors import OptionError
from apimetry.middleware.options import Options, compile_exclude, make_options


def test_argument_wins_over_environment_and_environment_over_default():
    environment = {"APIMETRY_COLLECTOR_URL": "http://env:1", "APIMETRY_WRITE_KEY": "from-env"}
    assert make_options({}, {}).collector_url == "http://127.0.0.1:7998"
    assert make_options({}, environment).collector_url == "http://env:1"
    assert make_options({"collector_url": "http://arg:1"}, environment).collector_url == "http://arg:1"
    assert make_options({"write_key": None}, environment).write_key == "from-env"
    assert make_options({"write_key": ""}, environment).write_key == ""


def test_source_is_the_hosts_name_unless_given():
    assert make_options({}, {}).source == socket.gethostname()
    assert make_options({"source": ""}, {}).source == ""


def test_key_prints_as_asterisks():
    assert "hidden-key" not in repr(Options(write_key="hidden-key"))
    assert "write_key='***'" in repr(Options(write_key="hidden-key"))


def test_options_are_frozen():
    with pytest.raises(AttributeError):
        Options().url = "full"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("collector_url", "127.0.0.1:7998"),
        ("collector_url", "ftp://host"),
        ("collector_url", "http://host:99999"),
        ("collector_url", "http://[::1"),
        ("collector_url", 7),
        ("url", "raw"),
        ("client_ip", "on"),
        ("consumer", 7),
        ("data", "header"),
        ("exclude", "/health"),
        ("exclude", [7]),
        ("exclude", [re.compile(b"/health")]),
        ("trusted_proxies", "10.0.0.0/8"),
        ("trusted_proxies", ["proxy.internal"]),
        ("trusted_proxies", 7),
        ("source", 7),
        ("write_key", "two words"),
        ("sample", 0),
        ("sample", 1.5),
        ("sample", True),
        ("sample", "half"),
        ("sample", float("nan")),
        ("slow_ms", 0),
        ("flush_interval_s", -1),
        ("flush_interval_s", float("inf")),
        ("exit_timeout_s", 3),
        ("max_buffer_events", "many"),
    ],
)
def test_unusable_value_is_refused_by_name(name, value):
    with pytest.raises(OptionError, match=f"^{name}: .*allowed"):
        make_options({name: value}, {})


def test_unknown_option_is_refused_with_what_is_allowed():
    with pytest.raises(OptionError, match=r"unknown option 'colector_url'; allowed: buffer_dir, .*, client_ip,"):
        make_options({"colector_url": "http://host"}, {})


@pytest.mark.parametrize(
    ("exclude", "path", "excluded"),
    [
        (["/health"], "/health", True),
        (["/health"], "/health/deep", False),
        (["/static/*"], "/static/a/b.css", True),
        (["/a", re.compile(r"/v\d+/ping$")], "/v2/ping", True),
        ([re.compile(r"/v\d+/ping$")], "/v2/pong", False),
        ([re.compile("/PING", re.IGNORECASE), "/x?"], "/ping", True),
        ([re.compile("health")], "/v1/health/deep", True),
        ([re.compile("^/health")], "/v1/health", False),
        (["/healt?"], "/v1/health", False),
        (["/a/*/b"], "/a/1/b", True),
        (["/a/*/b"], "/a/1/c", False),
        ([], "/health", False),
    ],
)
def test_exclude_takes_paths_wildcards_and_patterns(exclude, path, excluded):
    assert compile_exclude(exclude)(path) is excluded


async def _async(request):
    return 7


async def _async_generator(request):
    yield 7


class _Async:
    async def __call__(self, request):
        return 7

    async def method(self, request):
        return 7


@pytest.mark.parametrize("option", ["consumer", "data"])
@pytest.mark.parametrize(
    "value",
    [
        _async,
        _async_generator,
        _Async(),
        _Async().method,
        functools.partial(functools.partial(_async)),
        functools.wraps(_async)(_async),
    ],
    ids=["function", "generator", "instance", "method", "partial", "wrapped"],
)
def test_callable_whose_answer_has_to_be_awaited_is_refused(option, value):
    with pytest.raises(OptionError, match=f"^{option}: .*allowed: a callable \\(not async\\)"):
        make_options({option: value}, {})
