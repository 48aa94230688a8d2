"""Create the table of sessions and links: a later version of a record replaces the record.

`fixed` is JSON: what a link binds. It is empty for a session. A token's last use stands in `key_uses`, under its id.
A record leaves 30 days after its end.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_TIME = "DateTime64(3, 'UTC')"
_TOKENS = f"""
    id String,
    kind LowCardinality(String),
    sha256 FixedString(64),
    organization_id String,
    key_id String,
    key_kind LowCardinality(String),
    application_id String,
    name String,
    fixed String,
    created_at {_TIME},
    expires_at {_TIME},
    revoked_at Nullable({_TIME}),
    version UInt64
"""


def statements(layout: Layout) -> list[str]:
    """Return the statement that creates the table."""
    return layout.shared_table(
        "tokens", _TOKENS, order_by="id", version="version", ttl="toDateTime(expires_at) + toIntervalDay(30)"
    )
