"""Every table that lives as long as a service has a row in docs/security.md, with a bound that the code has, too."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("collector", "query_api", "serving", "store")
GROWING = {
    "Counter",
    "OrderedDict",
    "WeakSet",
    "WeakValueDictionary",
    "bytearray",
    "defaultdict",
    "deque",
    "dict",
    "list",
    "set",
}
CACHES = {"cache", "lru_cache", "cached"}

# Tables of one request, one segment or one statement, and constants that stay empty.
SHORT_LIVED = {
    "collector.formats.batch.Batch.details",
    "collector.formats.batch.Batch.rejected",
    "collector.formats.blocks.Block.out_of_range",
    "collector.formats.blocks.NO_DATA",
    "collector.formats.event_structs.Sender.dropped",
    "collector.formats.otlp.conventions.Rows._routes",
    "collector.formats.otlp.decode._Events.seen",
    "collector.formats.otlp.decode._Events.indexes",
    "collector.formats.otlp.decode._Events.rows",
    "collector.formats.otlp.decode._NO_RESOURCE",
    "collector.reports._Sum.dropped",
    "collector.senders._NONE",
    "query_api.breakdown.having.Restriction.parameters",
    "query_api.breakdown.measures.Reads.percentiles",
    "query_api.events.search.Search._rows",
    "query_api.export.sql._AS_THEY_ARE",
    "query_api.summary.pieces._Pieces.buckets",
    "query_api.summary.pieces._Pieces.minutes",
    "query_api.summary.pieces._Pieces.peaks_us",
    "query_api.summary.pieces._Pieces.sums",
    "query_api.usage.pieces.Pieces.buckets",
    "serving.openapi.Fragment.paths",
    "serving.openapi.Fragment.schemas",
    "serving.openapi.PUBLIC",
    "store.address.StoreAddress.options",
    "store.statement.Statement.parameters",
    "store.statement.Statement.settings",
}


def is_empty_table(value):
    """Whether an expression makes a table with nothing in it, which can only grow."""
    if isinstance(value, ast.Call):
        name = ast.unparse(value.func).rpartition(".")[2]
        if name == "field":
            factories = [keyword.value for keyword in value.keywords if keyword.arg == "default_factory"]
            return any(ast.unparse(factory).rpartition(".")[2] in GROWING for factory in factories)
        return name in GROWING and (name in ("defaultdict", "deque") or not (value.args or value.keywords))
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.List) and not value.elts


def named(target):
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return target.id if isinstance(target, ast.Name) else None


def assigned(statements):
    """The names and values of assignments, except those of functions' own names."""
    for statement in statements:
        if isinstance(statement, ast.Assign):
            yield from ((named(target), statement.value) for target in statement.targets)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield named(statement.target), statement.value


def tables_of(tree):
    """The long-lived tables of a module: of the module itself, of its classes' fields, and of their instances."""
    yield from (name for name, value in assigned(tree.body) if name and is_empty_table(value))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                if re.split(r"[.(]", ast.unparse(decorator).removeprefix("functools."))[0] in CACHES:
                    yield f"{node.name}()"
        if not isinstance(node, ast.ClassDef):
            continue
        fields = list(assigned(node.body))
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                own = [s for s in ast.walk(method) if isinstance(s, (ast.Assign, ast.AnnAssign))]
                targets = [t for s in own for t in (s.targets if isinstance(s, ast.Assign) else [s.target])]
                attributes = {t.attr for t in targets if isinstance(t, ast.Attribute)}
                fields += [(name, value) for name, value in assigned(own) if name in attributes]
                fields += [(name, ast.List([])) for name, value in assigned(own) if ast.unparse(value) == "()"]
        yield from (f"{node.name}.{name}" for name, value in fields if name and is_empty_table(value))


def tables_in_code():
    for room in ROOMS:
        root = ROOT / room / "apimetry"
        for path in sorted(root.rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            yield from (f"{module}.{name}" for name in tables_of(ast.parse(path.read_text(encoding="utf-8"))))


def documented_rows():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.partition("## What is held in memory")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w.()]+)` \| (.+) \| (.+) \| (.+) \|$", section, re.MULTILINE)


def test_a_table_that_nobody_bounded_is_found():
    tree = ast.parse(
        "names = {}\n"
        "class A:\n"
        "    kept: list[int] = field(default_factory=list)\n"
        "    def __init__(self):\n"
        "        self._seen: OrderedDict[str, int] = OrderedDict()\n"
        "        self._size, local = 0, {}\n"
        "        local_too = []\n"
        "@functools.lru_cache(maxsize=None)\n"
        "def read(path): ...\n"
    )
    assert set(tables_of(tree)) == {"names", "A.kept", "A._seen", "read()"}


def test_every_long_lived_table_has_a_bound_in_bytes_and_no_row_is_of_a_table_that_is_gone():
    code = set(tables_in_code()) - SHORT_LIVED
    assert code == {name for name, *_ in documented_rows() if not name.startswith("http.")}


def test_short_lived_tables_are_still_there():
    assert set(tables_in_code()) >= SHORT_LIVED


NUMBER = re.compile(r"`([\w.]+)` ([\d,]+)")


@pytest.mark.parametrize("row", documented_rows(), ids=lambda row: row[0])
def test_a_bound_in_the_page_is_that_of_the_code(row):
    _, _, bound, size = row
    for name, number in NUMBER.findall(bound):
        module, _, constant = name.rpartition(".")
        assert getattr(importlib.import_module(f"apimetry.{module}"), constant) == int(number.replace(",", "")), name
    assert re.search(r"\d (kB|MB)|nothing", size), "a size in bytes"
