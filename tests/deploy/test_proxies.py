"""The reverse-proxy examples: each program accepts its file, and passes on what it must."""

from __future__ import annotations

import itertools
import json
import os
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.support.services.keys import READ_KEY, WRITE_KEY
from tests.support.services.ports import free_port
from tests.support.tools import accepted, program

FOLDER = Path(__file__).parents[2] / "deploy" / "proxy"
NGINX, with_nginx = program("nginx", "apt-get install nginx-light")
HAPROXY, with_haproxy = program("haproxy", "apt-get install haproxy")
CADDY, with_caddy = program("caddy", "apt-get install caddy")
TRAEFIK, with_traefik = program("traefik", "make deploy-tools")
START_TIMEOUT_S = 30
BATCHES = 8
batch_ids = (f"{number:032x}" for number in itertools.count(1))


class Site:
    """A proxy that runs with its example over `service` at other ports. The second collector is away."""

    def __init__(self, folder, service):
        self.folder, self.port = folder, free_port()
        self.authority = trustme.CA()
        self.certificate = folder / "all.pem"
        pair = self.authority.issue_cert("example.com", "collect.example.com")
        pair.private_key_and_cert_chain_pem.write_to_path(self.certificate)
        self.addresses = {
            "127.0.0.1:7778": service.query_url.removeprefix("http://"),
            "127.0.0.1:7998": service.collector_url.removeprefix("http://"),
            "127.0.0.1:7999": f"127.0.0.1:{free_port()}",
            "/etc/ssl/apimetry/fullchain.pem": str(self.certificate),
            "/etc/ssl/apimetry/privkey.pem": str(self.certificate),
        }

    def example(self, name, **changes):
        """Write the example with addresses and paths of this test, and return its path."""
        text = (FOLDER / name).read_text()
        for old, new in {**self.addresses, **changes}.items():
            assert old in text or old in self.addresses
            text = text.replace(old, new)
        path = self.folder / name
        path.write_text(text)
        return path

    @contextmanager
    def run(self, *command):
        """Run the proxy until the block ends; it begins when the proxy listens."""
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                self._wait_until_it_listens(process)
                yield self
            finally:
                process.terminate()
                process.wait(20)

    def _wait_until_it_listens(self, process):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._passes_on():
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _passes_on(self):
        try:
            with self.send("collect.example.com", "/ready") as connection:
                return connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False

    def connect(self, host):
        """Return a connection through TLS."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return context.wrap_socket(plain, server_hostname=host)

    def send(self, host, path, body=None, **headers):
        """Send one request and return the connection, to read from."""
        connection = self.connect(host)
        lines = [
            f"{'POST' if body else 'GET'} {path} HTTP/1.1",
            f"Host: {host}",
            f"Content-Length: {len(body or b'')}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return connection


class PlainSite(Site):
    """A proxy without TLS."""

    def connect(self, host):
        del host
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextmanager
def nginx(folder, service):
    site = Site(folder, service)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    included = site.example("nginx.conf", **{"listen 443 ssl": f"listen 127.0.0.1:{site.port} ssl"})
    config = folder / "all.conf"
    config.write_text(
        f"pid {folder}/pid; error_log stderr; daemon off; events {{}}"
        f"http {{ access_log off; {paths} include {included}; }}"
    )
    accepted(NGINX, "-t", "-c", str(config))
    with site.run(NGINX, "-c", str(config)):
        yield site


@contextmanager
def caddy(folder, service):
    site = Site(folder, service)
    hosts = {
        f"\n{host} {{": f"\nhttps://{host}:{site.port} {{\n\ttls {site.certificate} {site.certificate}"
        for host in ("example.com", "collect.example.com")
    }
    config = site.example("Caddyfile", **hosts)
    config.write_text("{\n\tadmin off\n\tgrace_period 1s\n\tauto_https disable_redirects\n}\n" + config.read_text())
    with site.run(CADDY, "run", "--adapter", "caddyfile", "--config", str(config)):
        yield site


@contextmanager
def traefik(folder, service):
    site = Site(folder, service)
    routes = site.example("traefik-routes.yml")
    config = site.example(
        "traefik.yml",
        **{'":443"': f'"127.0.0.1:{site.port}"', "/etc/traefik/traefik-routes.yml": str(routes)},
    )
    with site.run(TRAEFIK, f"--configFile={config}"):
        yield site
    assert "ERR" not in (folder / "log").read_text()


@contextmanager
def haproxy(folder, service):
    site = PlainSite(folder, service)
    config = site.example("haproxy.cfg", **{"127.0.0.1:8000": f"127.0.0.1:{site.port}"})
    with site.run(HAPROXY, "-f", str(config)):
        yield site


def read_until(connection, ending):
    received = b""
    while ending not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece


def send_batch(site, path):
    event = {"url": path, "method": "GET", "status_code": 200, "response_us": 1, "timestamp": time.time()}
    body = json.dumps([event]).encode()
    headers = {"X_API_Key": WRITE_KEY, "X_Batch_Id": next(batch_ids), "Content_Type": "application/json"}
    with site.send("collect.example.com", "/1/event/", body, **headers) as sent:
        read_until(sent, b"HTTP/1.1 200 OK")


@with_haproxy
def test_haproxy_accepts_its_file():
    accepted(HAPROXY, "-c", "-f", str(FOLDER / "haproxy.cfg"))


@with_caddy
def test_caddy_accepts_its_file(tmp_path):
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    accepted(CADDY, "validate", "--adapter", "caddyfile", "--config", str(FOLDER / "Caddyfile"), env=home)


@pytest.mark.parametrize(
    ("proxy", "passes_pages"),
    [
        pytest.param(nginx, True, marks=with_nginx),
        pytest.param(haproxy, False, marks=with_haproxy),
        pytest.param(caddy, True, marks=with_caddy),
        pytest.param(traefik, True, marks=with_traefik),
    ],
)
def test_batches_pass_though_a_collector_is_away_and_a_live_stream_below_the_prefix_at_once(
    proxy, passes_pages, tmp_path, service
):
    with proxy(tmp_path, service) as site:
        for number in range(BATCHES):
            send_batch(site, f"/balanced/{number}")
        if not passes_pages:
            return
        with site.send("example.com", "/apimetry") as redirected:
            read_until(redirected, b"/apimetry/\r\n")
        with site.send("example.com", "/apimetry/v1/events/live", X_API_Key=READ_KEY) as stream:
            read_until(stream, b"HTTP/1.1 200 OK")
            send_batch(site, f"/live/{proxy.__name__}")
            read_until(stream, f"/live/{proxy.__name__}".encode())
