"""A client that is generated from the document knows every operation, and reads errors as they are answered."""

from __future__ import annotations

import importlib
import json
import logging
import pkgutil
import subprocess
import sys

import pytest

from apimetry.query_api.openapi.document import build_document
from apimetry.query_api.settings import QuerySettings
from tests.support.services.query_service import COLLECTOR_API

PACKAGE = "generated_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The client's package, and what the generator warned of."""
    folder = tmp_path_factory.mktemp("generated")
    document, config = folder / "openapi.json", folder / "config.yml"
    document.write_text(json.dumps(build_document(QuerySettings(), COLLECTOR_API)))
    config.write_text(f"post_hooks: []\npackage_name_override: {PACKAGE}\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--config", config]
    done = subprocess.run([*command, "--output-path", folder / "out"], capture_output=True, text=True, check=True)
    sys.path.insert(0, str(folder / "out"))
    try:
        yield importlib.import_module(PACKAGE), done.stderr
    finally:
        sys.path.remove(str(folder / "out"))
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]


def test_the_generator_leaves_nothing_out_but_the_middlewares_own_format(generated):
    _, output = generated
    # It says so for the collector's paths, four of events and one of spans, and has the JSON format of all of them.
    assert output.count("Unsupported content type application/msgpack") == 4
    assert output.count("Unsupported content type application/x-protobuf") == 1
    assert output.count("WARNING") == 5


async def test_a_401_is_read_as_an_error_with_its_message(generated, embedded_service):
    module, _ = generated
    operation = importlib.import_module(f"{PACKAGE}.api.management.list_applications")
    models = importlib.import_module(f"{PACKAGE}.models")
    url = str(embedded_service.client.make_url(""))
    # httpx would note each request in the log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    async with module.Client(base_url=url, headers={"X-API-Key": "wrong"}) as client:
        response = await operation.asyncio_detailed(client=client)
    assert response.status_code == 401
    assert isinstance(response.parsed, models.Error)
    assert response.parsed.message == "Invalid or missing API key"


async def test_a_page_is_read_as_its_records(generated, embedded_service):
    module, _ = generated
    operation = importlib.import_module(f"{PACKAGE}.api.management.list_applications")
    url = str(embedded_service.client.make_url(""))
    async with module.Client(base_url=url, headers={"X-API-Key": embedded_service.keys["admin"]}) as client:
        page = await operation.asyncio(client=client)
    assert [application.id for application in page.applications] == ["shop"]
    assert page.pagination.total == 1


def test_rejected_events_are_read_one_by_one(generated):
    models = importlib.import_module(f"{PACKAGE}.models")
    body = {
        "error": "Bad Request",
        "message": "None of the 1 events is valid",
        "details": [{"index": 0, "field": "url", "message": "this field is required"}],
    }
    error = models.Error.from_dict(body)
    assert [(detail.index, detail.field) for detail in error.details] == [(0, "url")]
    assert error.to_dict() == body


def test_every_module_of_the_client_can_be_imported(generated):
    module, _ = generated
    names = [module_info.name for module_info in pkgutil.walk_packages(module.__path__, f"{PACKAGE}.")]
    assert len(names) > 100
    for name in names:
        importlib.import_module(name)
