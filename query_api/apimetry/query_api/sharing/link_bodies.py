"""The shapes of bodies and answers about links. The OpenAPI document takes them from here."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from apimetry.query_api.http.json_values import iso_datetime, iso_or_none
from apimetry.query_api.http.listing import Pagination
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.serving.answer_types import Time, one_of
from apimetry.store.accounts.records import MAX_NAME_CHARACTERS
from apimetry.store.accounts.token_records import DEFAULT_LINK_S, MAX_LINK_S, MIN_LINK_S, Fixed, Token

MAX_FILTERS = 100
MAX_ORIGINS = 20
# It becomes a part of a header: no character may end it, or stand for several hosts. Python's `$` allows a newline.
ORIGIN_PATTERN = r"^https?://(\[[0-9a-f:]{2,39}\]|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,9})(:[0-9]{1,5})?$(?![\s\S])"


class Hidden(str, Enum):
    """A field of events that a link may hide."""

    consumer_id = "consumer_id"
    url = "url"
    route = "route"
    function = "function"
    source = "source"
    version = "version"
    error_type = "error_type"
    client_ip = "client_ip"
    user_agent = "user_agent"
    data = "data"


class SharedPage(str, Enum):
    """A page of the dashboard that a link may show."""

    overview = "overview"
    routes = "routes"
    consumers = "consumers"
    errors = "errors"
    latency = "latency"
    requests = "requests"


class SharedRange(str, Enum):
    """A range of time with which a shared page may open."""

    quarter = "15m"
    hour = "1h"
    six_hours = "6h"
    day = "24h"
    week = "7d"
    month = "30d"
    three_months = "90d"
    year = "1y"


DEFAULT_HIDES = (Hidden.consumer_id, Hidden.url, Hidden.client_ip, Hidden.user_agent, Hidden.data)

_Filter = Annotated[str, Meta(min_length=1, max_length=2_000)]
_Filters = Annotated[
    tuple[_Filter, ...], Meta(max_length=MAX_FILTERS, description="`field:value`, as in a query string.")
]
_Origin = Annotated[str, Meta(max_length=300, pattern=ORIGIN_PATTERN)]
_NotBefore = Annotated[int, Meta(ge=0, le=MAX_TIME_S)]


class ShareInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new link."""

    application: Annotated[str, Meta(extra_json_schema={"minLength": 1}, description="Its id.")]
    name: Annotated[str, Meta(extra_json_schema={"maxLength": MAX_NAME_CHARACTERS})] = ""
    include: _Filters = ()
    exclude: _Filters = ()
    not_before: Annotated[
        _NotBefore | None, Meta(description="Seconds since the epoch: nothing older is shown. Null: all is.")
    ] = None
    range: SharedRange = SharedRange.week
    pages: Annotated[tuple[SharedPage, ...], Meta(min_length=1, max_length=len(SharedPage))] = (SharedPage.overview,)
    hides: Annotated[tuple[Hidden, ...], Meta(max_length=len(Hidden))] = DEFAULT_HIDES
    expires_s: Annotated[int, Meta(ge=MIN_LINK_S, le=MAX_LINK_S, description="In seconds from now.")] = DEFAULT_LINK_S
    embed_origins: Annotated[
        tuple[_Origin, ...],
        Meta(max_length=MAX_ORIGINS, description="The origins whose pages may frame the shared page."),
    ] = ()

    def as_fixed(self) -> Fixed:
        """Return what the link binds."""
        return Fixed(
            self.include,
            self.exclude,
            self.not_before,
            tuple(dict.fromkeys(field.value for field in self.hides)),
            tuple(dict.fromkeys(page.value for page in self.pages)),
            self.range.value,
            tuple(dict.fromkeys(self.embed_origins)),
        )


class Share(TypedDict):
    """A link, without its token."""

    id: str
    name: str
    application: str
    keyId: Annotated[str, Meta(description="The key that made it, and with which it ends.")]
    include: list[str]
    exclude: list[str]
    notBefore: int | None
    range: Annotated[str, one_of(known.value for known in SharedRange)]
    pages: list[str]
    hides: list[str]
    embedOrigins: list[str]
    createdAt: Time
    expiresAt: Time
    lastUsedAt: Annotated[Time | None, Meta(description="A few minutes behind: it is written now and then.")]


class NewShare(TypedDict):
    """A link that was just made."""

    share: Share
    path: Annotated[str, Meta(description="The link, below the root of the service. It is shown this once.")]
    embedPath: Annotated[str | None, Meta(description="What a frame shows; null: no origin may frame it.")]


class ShareList(TypedDict):
    """One page of the organization's links."""

    shares: list[Share]
    pagination: Pagination


def share_json(token: Token) -> Share:
    """Return the JSON of a link."""
    fixed = token.fixed or Fixed()
    return {
        "id": token.id,
        "name": token.name,
        "application": token.application_id or "",
        "keyId": token.key_id,
        "include": list(fixed.include),
        "exclude": list(fixed.exclude),
        "notBefore": fixed.not_before,
        "range": fixed.range,
        "pages": list(fixed.pages),
        "hides": list(fixed.hides),
        "embedOrigins": list(fixed.embed_origins),
        "createdAt": iso_datetime(token.created_at),
        "expiresAt": iso_datetime(token.expires_at),
        "lastUsedAt": iso_or_none(token.last_used_at),
    }


def new_share(token: Token, secret: str) -> NewShare:
    """Return the JSON of a link that was just made. A browser sends and logs no fragment, so the token is one."""
    share = share_json(token)
    embed = f"/embed/{token.id}#{secret}" if share["embedOrigins"] else None
    return {"share": share, "path": f"/s/{token.id}#{secret}", "embedPath": embed}
