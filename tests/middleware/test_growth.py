"""Text that strangers write meets patterns: doubling it at most doubles the time.

Judged are ratios, of processor time: what is quadratic takes four times as long for twice the text. What is too quick
to be measured at the larger size is linear enough: anything quadratic would take a tenth of a second.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import string
import time
from pathlib import Path

import pytest

import apimetry.middleware
from apimetry.middleware.masking import mask_path, mask_query
from apimetry.middleware.privacy import public_url, resolve_client
from apimetry.middleware.secret_patterns import holds_secret, is_suspect

_LENGTH = 6_000
_UNMEASURABLE_S = 0.005
_MOST = 2.8  # half-way between linear and quadratic: 2 and 4
_PIECES = [
    *string.printable,
    *(
        "eyJ",
        "a@",
        "@a.",
        "a.",
        ".a",
        "a-",
        "A0a-",
        "A0a.",
        "sk_",
        "sk_live_",
        "%2F",
        "%25",
        "%2",
        "+1",
        "1-",
        "1-1",
        "1 ",
    ),
    *(
        "11-1",
        "1111-",
        "1111 1111 ",
        ";a=",
        "a=",
        "a:",
        ":@",
        "a:a@",
        "/a",
        "a/",
        "//",
        "/token/",
        "token=",
        "DE11 ",
        "DE11-",
    ),
    *(
        "for=",
        ",for=",
        'for="',
        'for=";',
        "for = ",
        "[::1]:",
        "<a>",
        "<a:",
        "<a(",
        "<a(b)",
        "<a('",
        "(?P<a>",
        "(?:",
        "{a:",
        "{a}",
        "{{",
    ),
    *(
        "\\d",
        "[a",
        "a*",
        "a?",
        ".*",
        "v1.",
        "v1.local.",
        "1.1.",
        "é",
        "中",
        "\udcff",
        "aA",
        "Aa",
        "a1",
        "1a",
        "01",
        "0x",
        "-_",
        "__",
    ),
]


def find_patterns():
    """Every compiled pattern of the middleware, by module and name."""
    patterns = {}
    for info in pkgutil.walk_packages(apimetry.middleware.__path__, "apimetry.middleware."):
        for name, value in vars(importlib.import_module(info.name)).items():
            kind = type(value)
            values = value.values() if kind is dict else value if kind in (tuple, list, frozenset) else [value]
            patterns.update({f"{info.name}.{name}": v for v in values if type(v) is re.Pattern})
    return patterns


PATTERNS = find_patterns()


def measure_s(action, text, times=5):
    spent = []
    for _ in range(times):
        began = time.thread_time()
        action(text)
        spent.append(time.thread_time() - began)
    return min(spent)


def grows_too_fast(action, piece, length=_LENGTH):
    """Tell whether twice the text takes far more than twice as long, three times in a row."""
    text = piece * (length // len(piece))
    once, twice = f"{text}\x00", f"{text}{text}\x00"
    if measure_s(action, twice, times=1) < _UNMEASURABLE_S:
        return False
    return all(measure_s(action, twice) > _MOST * measure_s(action, once) for _ in range(3))


@pytest.mark.parametrize("name", PATTERNS)
def test_time_of_every_pattern_grows_with_the_text_and_no_faster(name):
    pattern = PATTERNS[name]
    for action in (lambda text: pattern.sub("", text), pattern.fullmatch):
        assert [piece for piece in _PIECES if grows_too_fast(action, piece)] == []


@pytest.mark.parametrize(
    "action",
    [
        mask_path,
        mask_query,
        holds_secret,
        is_suspect,
        lambda text: public_url(text, text, "masked"),
        lambda text: public_url(text, text, "full"),
        lambda text: resolve_client("10.0.0.1", text[-512:], text[-512:], ("10.0.0.0/8",)),
    ],
    ids=["mask_path", "mask_query", "holds_secret", "is_suspect", "masked", "full", "resolve_client"],
)
def test_time_of_masking_grows_with_the_text_and_no_faster(action):
    assert [piece for piece in _PIECES if grows_too_fast(action, piece, 3_000)] == []


def test_no_pattern_of_the_middleware_hides_from_these_tests_in_a_function():
    """Patterns stand at the top of a module, where they are found; but what `exclude` is given is the host's own."""
    hidden = []
    for path in sorted(Path(apimetry.middleware.__path__[0]).glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                hidden += [f"{path.name}: {ast.unparse(call)}" for call in ast.walk(function) if _is_of_re(call)]
    assert hidden == ["options.py: re.compile(fnmatch.translate(entry))"]


def _is_of_re(node):
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr != "escape"


def test_a_pattern_that_is_quadratic_is_found():
    # A busy machine can hide the growth from one measurement, and not from five.
    assert any(grows_too_fast(re.compile(r"eyJ[A-Za-z]+\.").search, "eyJ") for _ in range(5))
