"""The image, compose.yaml and the ClickHouse configuration: each tool accepts its file, and what they name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from apimetry.cli.environment import misspelt
from apimetry.cli.main import COMMANDS
from apimetry.cli.settings import load
from apimetry.store.client import Store
from tests.support.services.ports import free_port
from tests.support.tools import accepted, program

FOLDER = Path(__file__).parents[2] / "deploy"
HADOLINT, with_hadolint = program("hadolint", "make deploy-tools")
CHECK, with_check = program("check-jsonschema", "make deploy-tools")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("apimetry")}


@with_hadolint
def test_hadolint_finds_nothing_in_the_dockerfile():
    assert accepted(HADOLINT, str(FOLDER / "Dockerfile")) == ""


@with_check
def test_compose_file_is_of_the_compose_schema():
    accepted(CHECK, "--builtin-schema", "vendor.compose-spec", str(FOLDER / "compose.yaml"))


def test_compose_file_gives_the_services_commands_and_settings_that_exist():
    for service in OURS.values():
        assert set(service.get("command", [])) <= set(COMMANDS)
        environment = {name: value for name, value in service["environment"].items() if not name.endswith("_FILE")}
        load({}, environment)
        assert list(misspelt(service["environment"])) == []


def test_compose_file_gives_the_services_no_rights_and_no_disk_but_their_volume():
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        mounts = [mount.split(":") for mount in service["volumes"]]
        assert [target for source, target, *_ in mounts if source in COMPOSE["volumes"]] in (
            [],
            ["/var/lib/apimetry"],
        )


def test_compose_file_publishes_ports_to_its_own_machine_alone():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_files_that_compose_mounts_are_there():
    sources = [mount.split(":")[0] for service in COMPOSE["services"].values() for mount in service["volumes"]]
    for source in sources:
        assert source in COMPOSE["volumes"] or (FOLDER / source).exists()


def test_the_image_has_what_its_build_copies():
    ignored = (FOLDER.parent / ".dockerignore").read_text()
    for path in ("deploy/requirements.lock", "deploy/healthy.py", "hatch_build.py", "dashboard", "store"):
        assert f"!{path}\n" in ignored


def test_packages_that_the_server_image_leaves_out_are_those_of_the_embedded_engine():
    pattern = re.search(r"kept = !/\^\(([^)]*)\)==/", (FOLDER / "Dockerfile").read_text())[1]
    program_text = f"/^[a-z]/ {{kept = !/^({pattern})==/}} kept"
    lock = accepted("awk", program_text, str(FOLDER / "requirements.lock"))
    names = set(re.findall(r"^([a-z][a-z0-9-]*)==", lock, re.MULTILINE))
    assert {"aiohttp", "clickhouse-connect", "lz4", "msgpack", "msgspec"} <= names
    assert names.isdisjoint(pattern.split("|"))


def test_clickhouse_knows_every_setting_of_its_configuration(embedded_store_url):
    root = ET.parse(FOLDER / "clickhouse" / "small.xml").getroot()
    server = {element.tag for element in root if len(element) == 0 and "remove" not in element.attrib}
    merges = {element.tag for element in root.find("merge_tree")}

    store = Store(embedded_store_url)
    store.open()
    try:
        for table, names in (("server_settings", server), ("merge_tree_settings", merges)):
            assert {name for (name,) in store.query(f"SELECT name FROM system.{table}")} >= names
    finally:
        store.close()
    log_tables = [element.tag for element in root if element.tag.endswith("_log") and "remove" not in element.attrib]
    assert [tag for tag in log_tables if "DELETE" not in root.findtext(f"{tag}/ttl")] == []


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(self.server.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("collector", "query", "healthy"),
    [(200, None, True), (200, 200, True), (None, None, False), (200, 500, False)],
)
def test_the_health_check_passes_where_every_service_that_listens_is_well(collector, query, healthy):
    environment, servers = dict(os.environ), []
    try:
        for variable, status in (("APIMETRY_COLLECTOR_PORT", collector), ("APIMETRY_QUERY_PORT", query)):
            server = HTTPServer(("127.0.0.1", 0), Answers) if status else None
            environment[variable] = str(server.server_port if server else free_port())
            if server:
                server.status = status
                servers.append(server)
                threading.Thread(target=server.serve_forever).start()
        done = subprocess.run([sys.executable, FOLDER / "healthy.py"], env=environment, timeout=30, check=False)
        assert (done.returncode == 0) == healthy
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
