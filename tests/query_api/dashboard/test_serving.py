"""The dashboard's files as the service answers them."""

from __future__ import annotations

import gzip
import os

import pytest

from apimetry.query_api.dashboard.api import PAGES
from apimetry.query_api.dashboard.files import Files
from tests.support.services.query_service import assert_error, running_query_service

PAGE = '<!doctype html><script type="module" src="assets/app-1.js"></script>'
SCRIPT = b"console.log(1);" * 200


def build(folder, page=PAGE):
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "index.html").write_text(page)
    (folder / "licenses.txt").write_text("uplot 1.6.32\n\nMIT")
    (folder / "assets" / "app-1.js").write_bytes(SCRIPT)
    (folder / "assets" / "app-1.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "app-1.js.br").write_bytes(b"brotli")


@pytest.fixture
async def built(embedded_store, tmp_path):
    build(tmp_path)
    async with running_query_service(embedded_store, dashboard=Files(tmp_path)) as service:
        yield service


async def test_every_page_is_the_one_file_with_its_assets_beside_the_root(built):
    for path in ("/", *(f"/{name}" for name in PAGES)):
        response = await built.client.get(path)
        assert (response.status, response.content_type) == (200, "text/html")
        assert 'src="assets/app-1.js"' in await response.text()


async def test_other_paths_stay_errors_in_json(built):
    for path in (
        "/overview",
        "/routes/",
        "/assets/",
        "/assets/none.js",
        "/assets/..%2findex.html",
        "/s/",
        "/index.html",
    ):
        await assert_error(await built.client.get(path), 404)


async def test_a_page_runs_its_own_files_and_nothing_else_and_nobody_frames_it(built):
    headers = (await built.client.get("/")).headers
    directives = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_an_unchanged_page_is_not_sent_again(built):
    first = await built.client.get("/routes")
    again = await built.client.get("/routes", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("br, gzip", "br"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=0.5, br;q=0", "gzip"),
        ("identity", None),
        ("br;q=0, gzip; q=0", None),
    ],
)
async def test_an_asset_comes_in_the_smallest_form_that_the_client_accepts_and_is_kept(built, accepted, encoding):
    response = await built.client.get(
        "/assets/app-1.js", headers={"Accept-Encoding": accepted}, auto_decompress=False
    )
    assert response.headers.get("Content-Encoding") == encoding
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["Content-Type"] == "text/javascript"
    body = await response.read()
    assert (gzip.decompress(body) if encoding == "gzip" else body) == (b"brotli" if encoding == "br" else SCRIPT)


async def test_another_build_shows_without_a_restart(built, tmp_path):
    page = tmp_path / "index.html"
    built_ns = page.stat().st_mtime_ns
    build(tmp_path, PAGE.replace("app-1", "app-2"))
    os.utime(page, ns=(built_ns + 1, built_ns + 1))
    assert "app-2.js" in await (await built.client.get("/")).text()


async def test_without_a_dashboard_the_root_says_so_and_shows_the_first_question(embedded_service):
    text = await (await embedded_service.client.get("/routes")).text()
    assert "built without its dashboard" in text
    await assert_error(await embedded_service.client.get("/assets/app-1.js"), 404, "No such asset")


async def test_the_licences_of_what_the_page_is_made_of_are_there(built):
    assert "uplot" in await (await built.client.get("/licenses.txt")).text()


async def test_only_the_page_of_a_link_may_be_framed_and_by_the_origins_that_it_names(built):
    async def headers_of(path):
        response = await built.client.get(path)
        assert (response.status, response.content_type) == (200, "text/html")
        assert 'src="../assets/app-1.js"' in await response.text()
        return response.headers

    origins = ["https://portal.example.com", "http://localhost:8080"]
    ids = []
    for named in (origins, []):
        body = {"application": "shop", "embedOrigins": named}
        response = await built.request("POST", "/api/shares", json=body)
        ids.append((await response.json())["share"]["id"])
    framed = await headers_of(f"/embed/{ids[0]}")
    assert "frame-ancestors https://portal.example.com http://localhost:8080;" in framed["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed
    assert framed["Referrer-Policy"] == "no-referrer"
    await built.request("DELETE", f"/api/shares/{ids[0]}")
    for path in (f"/embed/{ids[0]}", f"/embed/{ids[1]}", "/embed/nobody", f"/s/{ids[1]}"):
        closed = await headers_of(path)
        assert "frame-ancestors 'none';" in closed["Content-Security-Policy"], path
        assert closed["X-Frame-Options"] == "DENY"
