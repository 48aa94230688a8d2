"""Events as they arrive: msgspec types whose constraints are the documented limits.

Every format has two types. The strict type describes an event within all limits; with it, msgspec decodes a whole
batch in C. The lenient type has no limit on the length of strings and ignores unknown fields. An event that only the
lenient type accepts is cut to the limits and counted. Lengths are in characters.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

STRING_LIMITS: Final = {
    "method": 32,
    "url": 2048,
    "route": 1024,
    "function": 512,
    "consumer_id": 256,
    "error_type": 256,
    "client_ip": 64,
    "user_agent": 512,
    "source": 256,
    "version": 128,
}
DATA_KEY_LIMIT: Final = 128
DATA_VALUE_LIMIT: Final = 1024
DATA_ENTRIES_LIMIT: Final = 64

Method = Annotated[str, Meta(max_length=32)]
Url = Annotated[str, Meta(max_length=2048)]
Route = Annotated[str, Meta(max_length=1024)]
Function = Annotated[str, Meta(max_length=512)]
Name = Annotated[str, Meta(max_length=256)]
Address = Annotated[str, Meta(max_length=64)]
UserAgent = Annotated[str, Meta(max_length=512)]
Version = Annotated[str, Meta(max_length=128)]
DataKey = Annotated[str, Meta(max_length=DATA_KEY_LIMIT)]
DataValue = Annotated[str, Meta(max_length=DATA_VALUE_LIMIT)]
Data = Annotated[dict[DataKey, DataValue], Meta(max_length=DATA_ENTRIES_LIMIT)]

# Every range is smaller than its column's type: UInt16, UInt64 or UInt32.
TimestampUs = Annotated[int, Meta(ge=0, le=2**53)]
Status = Annotated[int, Meta(ge=100, le=999)]
Microseconds = Annotated[int, Meta(ge=0, le=2**40 - 1)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]
Weight = Annotated[int, Meta(ge=1, le=1_000_000)]


class WireEvent(Struct, array_like=True, frozen=True, gc=False):
    """An event of the middleware's msgpack format, by position: `wire.EVENT_FIELDS`. Later fields are ignored."""

    timestamp_us: TimestampUs
    method: Method
    url: Url
    route: Route
    function: Function
    status_code: Status
    response_us: Microseconds | None = None
    ttfb_us: Microseconds | None = None
    request_bytes: Bytes | None = None
    response_bytes: Bytes | None = None
    consumer_id: Name = ""
    error_type: Name = ""
    client_ip: Address = ""
    user_agent: UserAgent = ""
    sample_weight: Weight = 1
    data: Data | None = None


class LenientWireEvent(Struct, array_like=True, frozen=True, gc=False):
    """A WireEvent whose strings may be too long."""

    timestamp_us: TimestampUs
    method: str
    url: str
    route: str
    function: str
    status_code: Status
    response_us: Microseconds | None = None
    ttfb_us: Microseconds | None = None
    request_bytes: Bytes | None = None
    response_bytes: Bytes | None = None
    consumer_id: str = ""
    error_type: str = ""
    client_ip: str = ""
    user_agent: str = ""
    sample_weight: Weight = 1
    data: dict[str, str] | None = None


class JSONEvent(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event of the JSON format."""

    timestamp: float
    method: Method
    url: Url
    status_code: Status
    consumer_id: Name | None = None
    function: Function | None = None
    route: Route | None = None
    response_us: Microseconds | None = None
    ttfb_us: Microseconds | None = None
    request_bytes: Bytes | None = None
    response_bytes: Bytes | None = None
    error_type: Name | None = None
    source: Name | None = None
    version: Version | None = None
    client_ip: Address | None = None
    user_agent: UserAgent | None = None
    sample_weight: Weight | None = None
    data: Data | None = None


class LenientJSONEvent(Struct, frozen=True, gc=False):
    """A JSONEvent whose strings may be too long and which may have unknown fields."""

    timestamp: float
    method: str
    url: str
    status_code: Status
    consumer_id: str | None = None
    function: str | None = None
    route: str | None = None
    response_us: Microseconds | None = None
    ttfb_us: Microseconds | None = None
    request_bytes: Bytes | None = None
    response_bytes: Bytes | None = None
    error_type: str | None = None
    source: str | None = None
    version: str | None = None
    client_ip: str | None = None
    user_agent: str | None = None
    sample_weight: Weight | None = None
    data: dict[str, str] | None = None


class Sender(Struct, frozen=True):
    """The sender of a batch, and its cumulative counts of events since it started."""

    source: str = ""
    version: str = ""
    library: str = ""
    instance: Annotated[str, Meta(max_length=64)] = ""
    started_us: int = 0
    captured: Bytes = 0
    sent: Bytes = 0
    dropped: dict[str, Bytes] = {}


class Envelope(Struct, frozen=True):
    """A msgpack body; `events` and `sender` are decoded only after their sizes were checked."""

    v: int
    events: Raw | UnsetType = UNSET
    id: bytes | None = None
    sender: Raw | UnsetType = UNSET
