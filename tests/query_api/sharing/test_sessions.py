"""Sessions over HTTP: the rights of their key, until they or it end."""

from __future__ import annotations

import logging

from apimetry.query_api.sharing.codes import MAX_TRIES, SignInCode
from tests.support.services.query_service import assert_error, running_query_service


async def session(service, key="read", **body):
    response = await service.request("POST", "/v1/session", key, **({"json": body} if body else {}))
    assert response.status == 201, await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    answer = await response.json()
    assert set(answer) == {"token", "id", "kind", "expiresAt"}
    return answer


async def test_a_session_has_the_rights_of_its_key_until_it_signs_out(embedded_service, caplog):
    caplog.set_level(logging.DEBUG)
    first = await session(embedded_service, hours=720)
    second = await session(embedded_service)
    assert (first["kind"], second["kind"]) == ("read", "read")
    assert first["token"] != second["token"]
    me = await embedded_service.answer("/v1/me", first["token"])
    assert (me["kind"], me["expiresAt"], me["fixed"]) == ("read", first["expiresAt"], None)
    await assert_error(await embedded_service.get("/api/keys", first["token"]), 403, "Only Admin keys")
    await assert_error(await embedded_service.request("POST", "/v1/session", first["token"]), 403, "not prolonged")
    assert (await embedded_service.request("DELETE", "/v1/session", first["token"])).status == 204
    for path in ("/v1/me", "/v1/summary"):
        await assert_error(await embedded_service.get(path, first["token"]), 401)
    await assert_error(await embedded_service.request("DELETE", "/v1/session", first["token"]), 401)
    assert (await embedded_service.get("/v1/me", second["token"])).status == 200
    assert first["token"] not in caplog.text


async def test_an_admin_sees_and_ends_the_sessions_of_its_organization_alone(embedded_service):
    own, foreign = await session(embedded_service), await session(embedded_service, "their read")
    admins = await session(embedded_service, "admin", hours=12)
    listed = await (await embedded_service.get("/api/sessions", admins["token"])).json()
    assert {row["id"]: row["kind"] for row in listed["sessions"]} == {own["id"]: "read", admins["id"]: "admin"}
    assert "apimetry_t_" not in repr(listed)
    await assert_error(await embedded_service.request("DELETE", f"/api/sessions/{foreign['id']}"), 404)
    await assert_error(await embedded_service.request("DELETE", "/api/sessions/nobody"), 404)
    assert (await embedded_service.get("/v1/me", foreign["token"])).status == 200
    assert (await embedded_service.request("DELETE", f"/api/sessions/{own['id']}")).status == 204
    await assert_error(await embedded_service.get("/v1/me", own["token"]), 401)


async def test_a_session_ends_with_its_key(embedded_service):
    ending = await session(embedded_service)
    key_id = (await embedded_service.answer("/v1/me"))["keyId"]
    assert (await embedded_service.answer("/v1/me", ending["token"]))["keyId"] == key_id
    assert (await embedded_service.request("DELETE", f"/api/keys/{key_id}")).status == 204
    await assert_error(await embedded_service.get("/v1/me", ending["token"]), 401)


async def test_hours_that_are_not_allowed_and_codes_that_nobody_printed_are_refused(embedded_service):
    for key, hours in [("admin", 13), ("read", 721), ("read", 0), ("read", "12"), ("read", None)]:
        await assert_error(await embedded_service.request("POST", "/v1/session", key, json={"hours": hours}), 400)
    await assert_error(await embedded_service.request("POST", "/v1/sign-in", None, json={"code": "A"}), 401)


async def test_the_code_of_a_start_opens_one_session_of_the_admin_key(embedded_store):
    code = SignInCode()
    async with running_query_service(embedded_store, sign_in_code=code) as service:

        async def sign_in(text, **headers):
            return await service.request("POST", "/v1/sign-in", None, json={"code": text}, headers=headers)

        # These are not tries: another site's page must not use them up.
        for _ in range(MAX_TRIES):
            await assert_error(await sign_in("wrong", Origin="https://evil.example"), 403, "this machine")
            await assert_error(await sign_in("wrong", Host="rebound.example"), 403)
            await assert_error(await sign_in(code.text, **{"X-Forwarded-For": "10.0.0.7"}), 403)
            response = await service.request("POST", "/v1/sign-in", None, data=b'{"code": "wrong"}')
            await assert_error(response, 415)
        await assert_error(await sign_in("wrong"), 401, "wrong, used or expired")
        response = await sign_in(code.text.lower())
        assert response.status == 201, await response.text()
        signed_in = await response.json()
        me = await service.answer("/v1/me", signed_in["token"])
        assert (me["kind"], me["organization"]["name"]) == ("admin", "Ours")
        await assert_error(await sign_in(code.text), 401)
