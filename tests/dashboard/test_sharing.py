"""Links on the dashboard: made by a person, seen by another, in a frame of another site, and gone when they end."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from playwright.sync_api import expect

from tests.support import browser as browsers
from tests.support.browser import address_has, address_lacks, settled
from tests.support.services.http_server import answering
from tests.support.services.ports import free_port
from tests.support.services.processes import ADMIN_KEY, APPLICATION, READ_KEY, get_json, post_json

NGINX = Path("/usr/sbin/nginx")


def share(service, **body):
    """A link, made over HTTP."""
    return post_json(f"{service.query_url}/api/shares", {"application": APPLICATION, **body}, ADMIN_KEY)


def revoke(service, link):
    path = f"{service.query_url}/api/shares/{link['share']['id']}"
    request = urllib.request.Request(path, headers={"X-API-Key": ADMIN_KEY}, method="DELETE")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 204


@contextmanager
def site(page):
    """Another site with one page, under a name of its own; yields its origin."""
    with answering(lambda _: (200, {"Content-Type": "text/html"}, page["text"].encode())) as server:
        yield server.url.replace("127.0.0.1", "localhost")


def test_a_person_shares_one_consumer_and_ends_the_link(visit, admin_key):
    sharing = visit(admin_key, "admin")
    page = sharing.open("?range=7d&is=consumer_id:globex-prod")
    settled(page)
    page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share a part of this")
    expect(dialog).to_contain_text("consumer is globex-prod")
    dialog.get_by_label("Name, for your list").fill("For Globex")
    dialog.get_by_label("Latency").check()
    dialog.get_by_label("Requests").check()
    dialog.get_by_label("Nothing before").check()
    dialog.get_by_label("Sites that may embed it").fill("https://portal.example.com")
    sharing.keep_screen("share-dialog")
    dialog.get_by_role("button", name="Make the link").click()
    link = dialog.get_by_label("Link", exact=True).input_value()
    assert f"{sharing.base_url}/embed/" in dialog.get_by_label("Code to embed it").input_value()
    sharing.keep_screen("share-made")
    page.keyboard.press("Escape")

    looking = visit(key=None)
    shared = looking.open(link.removeprefix(f"{looking.base_url}/"))
    expect(shared.get_by_text(re.compile("Shared view until .* Its filters are fixed"))).to_be_visible()
    settled(shared)
    address_lacks(shared, "#")
    expect(shared).to_have_url(f"{looking.base_url}/?range=7d")
    expect(shared.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(3)
    expect(shared.get_by_role("link", name="Routes")).to_have_count(0)
    expect(shared.get_by_role("heading", name="Consumers", exact=True)).to_have_count(0)
    expect(shared.get_by_role("button", name="Sign out")).to_have_count(0)
    assert "globex" not in shared.content()
    looking.keep_screen("shared-overview")
    shared.get_by_role("cell", name="/v1/search").click()
    shared.keyboard.press("g")
    shared.keyboard.press("s")
    expect(shared.locator("h1")).to_have_text("Overview")
    shared.get_by_role("link", name="Latency").click()
    settled(shared)
    looking.keep_screen("shared-latency")
    shared.get_by_role("navigation", name="Pages").get_by_role("link", name="Requests").click()
    settled(shared)
    with shared.expect_download() as saved:
        shared.get_by_role("button", name="NDJSON").click()
    rows = [json.loads(line) for line in Path(saved.value.path()).read_text().splitlines()]
    assert rows
    assert not {"consumer_id", "url", "data", "user_agent", "client_ip"} & set().union(*rows)
    shared.get_by_role("button", name="● Live").click()
    expect(shared.get_by_text("Requests appear here as they arrive.")).to_be_visible()
    shared.get_by_role("button", name="● Live").click()

    page = sharing.open("settings?tab=links")
    row = page.get_by_role("row", name=re.compile("For Globex"))
    expect(row).to_contain_text("consumer_id:globex-prod")
    sharing.keep_screen("settings-links")
    row.get_by_role("button", name="End").click()
    expect(row).to_have_count(0)
    page = sharing.open("settings?tab=sessions")
    made = post_json(f"{sharing.base_url}/v1/session", {"hours": 1}, READ_KEY)
    page.reload()
    row = page.get_by_role("row", name=re.compile("read"))
    expect(row).to_have_count(1)
    sharing.keep_screen("settings-sessions")
    row.get_by_role("button", name="End").click()
    expect(row).to_have_count(0)
    with pytest.raises(HTTPError, match="401"):
        get_json(f"{sharing.base_url}/v1/me", made["token"])
    shared.reload()
    expect(shared.get_by_text("This link has ended.")).to_be_visible()
    looking.problems = [text for text in looking.problems if "Failed to load resource" not in text]


def sign_in_everywhere(context, service):
    """Sign in to the browser, in a way that every frame would see."""
    session = json.dumps({"secret": ADMIN_KEY, "kind": "admin"})
    context.add_init_script(f"localStorage.setItem('apimetry.session', {json.dumps(session)})")
    page = context.new_page()
    page.goto(service.query_url)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.close()


def test_a_frame_of_a_named_site_shows_the_link_and_of_another_site_nothing(service, chromium):
    page = {"text": ""}
    with site(page) as named, site(page) as other:
        link = share(service, include=["consumer_id:globex-prod"], embedOrigins=[named], range="7d")
        page["text"] = f'<iframe src="{service.query_url}{link["embedPath"]}" width="1200" height="800"></iframe>'
        context = chromium.new_context(viewport={"width": 1300, "height": 900})
        context.set_default_timeout(browsers.PATIENCE_MS)
        try:
            shown = context.new_page()
            reports = []
            shown.on("console", lambda message: reports.append(message.text))
            shown.goto(named)
            frame = shown.frame_locator("iframe")
            expect(frame.get_by_text("Shared view until")).to_be_visible()
            expect(frame.locator(".tile", has_text="Requests").first).to_contain_text(re.compile(r"\d"))
            expect(frame.get_by_role("navigation")).to_have_count(0)
            frame.get_by_role("button", name="24h").click()
            expect(frame.get_by_role("button", name="24h")).to_have_attribute("aria-pressed", "true")
            assert [text for text in reports if "frame-ancestors" in text or "policy" in text] == []
            if browsers.SCREENS:
                shown.screenshot(path=f"{browsers.SCREENS}/embedded.png")
            with shown.expect_console_message(lambda message: "frame-ancestors" in message.text):
                shown.goto(other)
            expect(shown.frame_locator("iframe").get_by_text("Shared view until")).to_have_count(0)
            revoke(service, link)
            shown.goto(named)
            expect(shown.frame_locator("iframe").locator("body")).not_to_contain_text("Shared view")
            sign_in_everywhere(context, service)
            link = share(service, embedOrigins=[named])
            for fragment in ("", f"#{ADMIN_KEY}"):
                path = link["embedPath"].partition("#")[0]
                page["text"] = (
                    f'<iframe src="{service.query_url}{path}{fragment}" width="1200" height="800"></iframe>'
                )
                shown.goto(named)
                expect(shown.frame_locator("iframe").get_by_role("status")).to_contain_text("This link")
        finally:
            context.close()


@contextmanager
def behind_prefix(folder, service):
    """The service at `/apimetry/` of nginx; yields the address of the prefix."""
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"""daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; events {{}}
        http {{ access_log {folder}/access.log; client_body_temp_path {folder}; proxy_temp_path {folder};
          fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
          server {{ listen 127.0.0.1:{port};
            location = /apimetry {{ return 301 /apimetry/; }}
            location /apimetry/ {{ proxy_pass {service.query_url}/; }} }} }}"""
    )
    with subprocess.Popen(
        [str(NGINX), "-e", "stderr", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}/apimetry"
        finally:
            process.terminate()


@pytest.mark.skipif(not NGINX.exists(), reason=f"{NGINX} is not installed")
def test_behind_a_prefix_a_session_and_a_link_work_and_no_log_of_the_proxy_has_a_token(service, chromium, tmp_path):
    link = share(service, pages=["overview", "routes"])
    with behind_prefix(tmp_path, service) as root:
        looked = browsers.Visit(chromium, root, None)
        page = looked.open()
        page.get_by_label("Read or admin key").fill(ADMIN_KEY)
        page.get_by_role("button", name="Sign in").click()
        settled(page)
        looked.close()
        looked = browsers.Visit(chromium, root, None)
        page = looked.open(link["path"][1:])
        expect(page.get_by_text("Shared view until")).to_be_visible()
        settled(page)
        page.get_by_role("link", name="Routes").click()
        expect(page.locator("h1")).to_have_text("Routes")
        settled(page)
        address_has(page, f"{root}/routes")
        looked.close()
        log = (tmp_path / "access.log").read_text()
        assert "GET /apimetry/s/" in log
        assert "apimetry_t_" not in log
