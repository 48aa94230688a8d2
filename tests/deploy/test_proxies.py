"""The reverse-proxy examples: each program accepts its file, and nginx passes on what it must."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.support.services.ports import free_port
from tests.support.services.processes import BOOTSTRAP, READ_KEY, running

FOLDER = Path(__file__).parents[2] / "deploy" / "proxy"
NGINX, HAPROXY, CADDY = shutil.which("nginx"), shutil.which("haproxy"), shutil.which("caddy")
with_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
with_haproxy = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed: apt-get install haproxy")
with_caddy = pytest.mark.skipif(CADDY is None, reason="caddy is not installed: apt-get install caddy")
EVENT = {"url": "/proxied", "method": "GET", "status_code": 200, "response_us": 1}


def accepted(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@with_haproxy
def test_haproxy_accepts_its_file():
    accepted(HAPROXY, "-c", "-f", str(FOLDER / "haproxy.cfg"))


@with_caddy
def test_caddy_accepts_its_file(tmp_path):
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    accepted(CADDY, "validate", "--adapter", "caddyfile", "--config", str(FOLDER / "Caddyfile"), env=home)


class Proxy:
    """nginx with the example's file over services at other ports; its certificates are of an authority of ours."""

    def __init__(self, folder, collector_url, query_url):
        self._authority = trustme.CA()
        certificate = self._authority.issue_cert("example.com", "collect.example.com")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "all.pem")
        self._port = free_port()
        text = (FOLDER / "nginx.conf").read_text()
        for old, new in {
            "listen 443 ssl": f"listen 127.0.0.1:{self._port} ssl",
            "/etc/ssl/apimetry/fullchain.pem": str(folder / "all.pem"),
            "/etc/ssl/apimetry/privkey.pem": str(folder / "all.pem"),
            "127.0.0.1:7778": query_url.removeprefix("http://"),
            "127.0.0.1:7998": collector_url.removeprefix("http://"),
        }.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "site.conf").write_text(text)
        paths = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.config = folder / "nginx.conf"
        self.config.write_text(
            f"pid {folder}/pid; error_log stderr; daemon off; events {{}}"
            f"http {{ access_log off; {paths} include {folder}/site.conf; }}"
        )

    def send(self, host, path, body=None, **headers):
        """Send one request through TLS and return the connection, to read from."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        connection = context.wrap_socket(plain, server_hostname=host)
        lines = [
            f"{'POST' if body else 'GET'} {path} HTTP/1.1",
            f"Host: {host}",
            f"Content-Length: {len(body or b'')}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return connection


@contextmanager
def proxy(tmp_path, service):
    site = Proxy(tmp_path, service.collector_url, service.query_url)
    accepted(NGINX, "-t", "-c", str(site.config))
    process = subprocess.Popen([NGINX, "-c", str(site.config)], stderr=subprocess.DEVNULL)
    try:
        service.wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "nginx")
        yield site
    finally:
        process.terminate()
        process.wait(20)


def read_until(connection, wanted):
    received = b""
    while wanted not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece
    return received


@with_nginx
def test_batches_and_live_streams_pass_through_nginx_at_once(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with running("serve", data_dir=data, **BOOTSTRAP) as service, proxy(tmp_path, service) as site:
        with site.send("example.com", "/apimetry/v1/events/live", X_API_Key=READ_KEY) as stream:
            read_until(stream, b"200 OK")
            body = json.dumps([{**EVENT, "timestamp": time.time()}]).encode()
            key = BOOTSTRAP["APIMETRY_BOOTSTRAP_WRITE_KEY"]
            with site.send(
                "collect.example.com", "/1/event/", body,
                X_API_Key=key, X_Batch_Id="0" * 32, Content_Type="application/json",
            ) as sent:  # fmt: skip
                read_until(sent, b"200 OK")
            read_until(stream, b"/proxied")
