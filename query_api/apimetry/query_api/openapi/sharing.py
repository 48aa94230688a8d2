"""Sessions, sign-in codes and links in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.sharing.link_bodies import NewShare, ShareInput, ShareList
from apimetry.query_api.sharing.response import NewSession, SessionInput, SessionList, SignIn
from apimetry.serving.openapi import PUBLIC, answer, errors, json_content, operation, ref, struct_schema

_TAGS = ["Access"]
_READ_ERRORS = ("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
_BODY_ERRORS = ("BadRequest", "Unauthorized", "Forbidden", "PayloadTooLarge", "TooSlow", "UnsupportedMediaType")
_ID = "507f1f77bcf86cd799439015"
_NEW_SESSION = {
    "token": "apimetry_t_Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4fGh7jKl",
    "id": _ID,
    "kind": "read",
    "expiresAt": "2026-11-27T10:43:58Z",
}
_SESSION = {
    "id": _ID,
    "kind": "read",
    "keyId": "507f1f77bcf86cd799439011",
    "application": "shop",
    "createdAt": "2026-11-26T10:43:58Z",
    "expiresAt": "2026-11-26T22:43:58Z",
    "lastUsedAt": None,
}
_SHARE = {
    "id": "507f1f77bcf86cd799439016",
    "name": "For Acme",
    "application": "shop",
    "keyId": "507f1f77bcf86cd799439010",
    "include": ["consumer_id:acme"],
    "exclude": [],
    "notBefore": None,
    "range": "7d",
    "pages": ["overview"],
    "hides": ["consumer_id", "url", "client_ip", "user_agent", "data"],
    "embedOrigins": ["https://portal.example.com"],
    "createdAt": "2026-11-26T10:43:58Z",
    "expiresAt": "2026-12-03T10:43:58Z",
    "lastUsedAt": None,
}
_TOKEN_PART = "507f1f77bcf86cd799439016#apimetry_t_Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4fGh7jKl"  # noqa: S105 - an example
_PAGE = {"total": 1, "limit": 100, "offset": 0, "hasMore": False}


def paths() -> Json:
    """Return the paths of sessions."""
    content = json_content(NewSession, example=_NEW_SESSION)
    responses: Json = {"201": answer("Made. Its token is shown this once.", content)}
    return {
        "/v1/session": {"post": _create(responses), "delete": _end()},
        "/v1/sign-in": {"post": _sign_in(responses)},
        "/api/sessions": {"get": _list()},
        "/api/sessions/{id}": {
            "parameters": [ref("parameters", "TokenId")],
            "delete": operation(
                "revokeSession",
                "End a session of the organization",
                {"204": answer("Ended; its token stops working everywhere within 30 s."), **errors(*_READ_ERRORS)},
                tags=_TAGS,
            ),
        },
        "/api/shares": {"get": _list_links(), "post": _create_link()},
        "/api/shares/{id}": {
            "parameters": [ref("parameters", "TokenId")],
            "delete": operation(
                "revokeShare",
                "End a link",
                {"204": answer("Ended; its token stops working everywhere within 30 s."), **errors(*_READ_ERRORS)},
                tags=_TAGS,
            ),
        },
    }


def _list_links() -> Json:
    listed = json_content(ShareList, example={"shares": [_SHARE], "pagination": _PAGE})
    return operation(
        "listShares",
        "Live links of the organization, or those that a read key made",
        {"200": answer("One page of them, the oldest first; never a token.", listed), **errors(*_READ_ERRORS)},
        tags=_TAGS,
        parameters=[ref("parameters", "Limit"), ref("parameters", "Offset")],
    )


def _create_link() -> Json:
    example = {"share": _SHARE, "path": f"/s/{_TOKEN_PART}", "embedPath": f"/embed/{_TOKEN_PART}"}
    body = {"application": "shop", "name": "For Acme", "include": ["consumer_id:acme"], "expiresS": 604800}
    return operation(
        "createShare",
        "Make a link",
        {
            "201": answer("Made. Its token is shown this once.", json_content(NewShare, example=example)),
            **errors(*_BODY_ERRORS, "NotFound", "Unavailable"),
        },
        description="Who has the link's token may ask what a read key may, within the link's filters and from"
        " `notBefore` on, and sees no field that it hides. Single requests are shown where `pages` has `requests`."
        " A read key makes links to its own application. A link ends with the key that made it. More links, or longer"
        " filters, than an organization or a read key may have are a 403.",
        tags=_TAGS,
        requestBody={"required": True, "content": json_content("ShareInput", example=body)},
    )


def _create(responses: Json) -> Json:
    return operation(
        "createSession",
        "Make a session",
        {**responses, **errors(*_BODY_ERRORS, "NotFound", "Unavailable")},
        description="With a read or admin key. The session's token has the key's rights, is sent like the key, and"
        " ends with it. A session makes no sessions. A key has at most 100 sessions: another one ends the oldest.",
        tags=_TAGS,
        requestBody={"required": False, "content": json_content("SessionInput", example={"hours": 12})},
    )


def _end() -> Json:
    return operation(
        "endSession",
        "Sign out",
        {
            "204": answer("The session has ended; its token stops working everywhere within 30 s."),
            **errors(*_READ_ERRORS),
        },
        description="With the session's token.",
        tags=_TAGS,
    )


def _sign_in(responses: Json) -> Json:
    return operation(
        "signIn",
        "Make a session by a sign-in code",
        {**responses, **errors(*_BODY_ERRORS, "Unavailable")},
        description="`apimetry serve` prints a code at its start. It is good for ten minutes, once, with five tries,"
        " from the machine itself. The session is one of the oldest admin key.",
        tags=_TAGS,
        security=PUBLIC,
        requestBody={"required": True, "content": json_content("SignIn", example={"code": "K7QM4T2P"})},
    )


def _list() -> Json:
    listed = json_content(SessionList, example={"sessions": [_SESSION], "pagination": _PAGE})
    return operation(
        "listSessions",
        "Live sessions of the organization",
        {"200": answer("One page of them, the oldest first; never a token.", listed), **errors(*_READ_ERRORS)},
        tags=_TAGS,
        parameters=[ref("parameters", "Limit"), ref("parameters", "Offset")],
    )


def schemas() -> Json:
    """Return the schemas of requests."""
    return {
        "SessionInput": struct_schema(SessionInput),
        "SignIn": struct_schema(SignIn),
        "ShareInput": struct_schema(ShareInput),
    }
