"""Create the tables of organizations, applications and keys: a later version of a record replaces the record.

A key's last use has its own table, so that writing the last use can never undo a revocation.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_TIME = "DateTime64(3, 'UTC')"

_ORGANIZATIONS = f"""
    id String,
    name String,
    plan String,
    max_applications Nullable(UInt32),
    max_retention_days Nullable(UInt16),
    max_calls_per_month Nullable(UInt64),
    created_at {_TIME},
    version UInt64
"""
_APPLICATIONS = f"""
    id String,
    organization_id String,
    name String,
    retention_days UInt16,
    per_minute Nullable(UInt64),
    per_hour Nullable(UInt64),
    per_day Nullable(UInt64),
    created_at {_TIME},
    deleted UInt8,
    version UInt64
"""
_KEYS = f"""
    id String,
    kind LowCardinality(String),
    organization_id String,
    application_id String,
    name String,
    sha256 FixedString(64),
    first_characters String,
    created_at {_TIME},
    expires_at Nullable({_TIME}),
    revoked_at Nullable({_TIME}),
    version UInt64
"""
_KEY_USES = f"""
    key_id String,
    last_used_at {_TIME}
"""


def statements(layout: Layout) -> list[str]:
    """Return the statements of the tables of the account records."""
    return [
        *layout.shared_table("organizations", _ORGANIZATIONS, order_by="id", version="version"),
        *layout.shared_table("applications", _APPLICATIONS, order_by="id", version="version"),
        *layout.shared_table("keys", _KEYS, order_by="id", version="version"),
        *layout.shared_table("key_uses", _KEY_USES, order_by="key_id", version="last_used_at"),
    ]
