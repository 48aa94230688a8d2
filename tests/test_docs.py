"""The documents: what they name exists, and whatever a user can set, ask or watch stands in them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from flask import Flask, g
from prometheus_client.parser import text_string_to_metric_families
from starlette.authentication import SimpleUser

from apimetry.cli.main import main
from apimetry.middleware.options import Options
from apimetry.query_api.openapi.document import build_document
from apimetry.query_api.settings import QuerySettings
from tests.support.services.collecting import collecting
from tests.support.services.query_service import COLLECTOR_API, running_query_service

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")
NAMED_TEST = re.compile(r"`((?:\w+/)*\w+\.py)?::(test_\w+)`")
# What `apimetry --help` and each command's own help say.
HELP = {"-h", "--help", "--version"}


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    missing = []
    for target, anchor in LINK.findall(page.read_text()):
        there = page.parent / target if target else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            missing.append(target + anchor)
    assert missing == []


def test_every_test_that_a_page_names_exists():
    named, missing = 0, []
    for page in PAGES:
        file = ""
        for path, name in NAMED_TEST.findall(page.read_text()):
            file = path or file
            named += 1
            source = ROOT / "tests" / file
            if not source.exists() or not re.search(rf"def {name}\(", source.read_text()):
                missing.append(f"{page.name}: {file}::{name}")
    assert named > 30
    assert missing == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_a_page_for_maintainers_names_exists(page):
    paths = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "node_modules"]
        paths += [
            f"{Path(folder).relative_to(ROOT).as_posix()}/{name}" for name in (*files, *(f"{f}/" for f in folders))
        ]
    named = set(re.findall(r"`([\w…/.<>]+(?:\.py|\.md|\.toml|/))`", (ROOT / page).read_text()))
    assert len(named) > 15
    # Of this one the pages say that it must never exist.
    missing = {
        name for name in named - {"apimetry/__init__.py"} if not any(pattern_of(name).search(path) for path in paths)
    }
    assert missing == set()


def pattern_of(name: str) -> re.Pattern[str]:
    """Return a pattern of paths that end so: `…` stands for folders, and `<room>` for any name."""
    return re.compile(rf"(^|/){re.sub('<.*?>', '[^/]+', re.escape(name)).replace('…', '.*')}$")


def test_every_option_of_the_middleware_is_documented():
    names = {field.name for field in dataclasses.fields(Options)}
    documented = set(re.findall(r"`(\w+)`", text_of("middleware.md")))
    assert names - documented == set()


def operations():
    document = json.loads(json.dumps(build_document(QuerySettings(), COLLECTOR_API)))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "patch", "delete"):
                yield method.upper(), path, operation


def test_every_endpoint_is_documented():
    text = "".join(text_of(page.name) for page in PAGES if page.parent.name == "docs")
    lines = [line for line in text.splitlines() if "`" in line]
    missing = []
    for method, path, _ in operations():
        whole = re.compile(re.escape(path.rstrip("/") or "/") + r"/?(?![\w/{])")
        if not any(whole.search(line) and method in line for line in lines):
            missing.append(f"{method} {path}")
    aliases = {"POST /1/event", "POST /1/events"}  # "with or without the last slash", in words
    assert set(missing) - aliases == set()


def test_every_parameter_is_documented():
    text = "".join(text_of(page.name) for page in PAGES if page.parent.name == "docs")
    named = set(re.findall(r"[`?&](\w[\w-]*)", text))
    parameters = {
        parameter["name"] for _, _, operation in operations() for parameter in operation.get("parameters", ())
        if "name" in parameter
    }  # fmt: skip
    assert len(parameters) > 20
    assert parameters - named == set()


async def test_every_metric_is_documented(tmp_path, server_store):
    documented = text_of("operations.md")
    async with collecting(tmp_path) as collector, running_query_service(server_store) as service:
        of_collector = await (await collector.client.get("/metrics")).text()
        of_query_service = await (await service.get("/metrics")).text()
    for text, least in ((of_collector, 20), (of_query_service, 10)):
        names = {family.name for family in text_string_to_metric_families(text)}
        own = {name for name in names if name.startswith("apimetry_") and not name.endswith("_created")}
        assert len(own) >= least
        assert {name for name in own if f"`{name}" not in documented} == set()


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES if examples(page)])
def test_python_of_a_page_is_python(page):
    for example in examples(page):
        compile(example, page, "exec")


def test_consumers_of_the_middlewares_page_name_who_called():
    (example,) = (example for example in examples("docs/middleware.md") if "consumer=" in example)
    consumers = []
    app = Flask("app")
    names = {
        "g": g,
        "app": app,
        "WSGIMiddleware": lambda _, consumer: consumers.append(consumer),
        "ASGIMiddleware": lambda _, consumer: consumers.append(consumer),
    }
    for line in example.splitlines():
        exec(line, names)
        if "APIMETRY" in names:
            consumers.append(names.pop("APIMETRY")["consumer"])
    django, ninja, flask, starlette, fastapi = consumers
    assert django(SimpleNamespace(user=SimpleNamespace(pk=7))) == 7
    assert [ninja(SimpleNamespace(auth=auth)) for auth in (SimpleNamespace(key="k"), None)] == ["k", None]
    with app.app_context():
        g.user_id = "ann"
        assert flask({}) == "ann"
    assert [starlette(scope) for scope in ({"user": SimpleUser("ann")}, {})] == ["ann", None]
    assert [fastapi(scope) for scope in ({"state": {"consumer": "ann"}}, {})] == ["ann", None]


def commands(group: click.Group, words: tuple[str, ...] = ()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


def test_every_command_is_documented():
    assert isinstance(main, click.Group)
    rows = re.findall(r"^\| `(\w+)`(.*?)\|", text_of("settings.md"), re.MULTILINE)
    documented = {(name,) for name, _ in rows} | {
        (name, verb) for name, rest in rows for verb in re.findall(r"`([\w-]+)`", rest)
    }
    assert set(commands(main)) == documented
