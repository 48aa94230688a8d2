"""Write the accounts to the disk of a collector, so that the collector can start while the store is away.

The file holds organizations, applications and keys, and only the SHA-256 of a key. It holds no sessions and links,
which a collector does not take. Only the file's owner can read it (0600). It is replaced as a whole. A file that
cannot be read is ignored.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from apimetry.store.accounts.records import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.accounts.token_records import Token

logger = logging.getLogger(__name__)

VERSION: Final = 1
_FILE_MODE: Final = 0o600


@dataclass(frozen=True)
class Snapshot:
    """All accounts at one moment: organizations and applications by id, keys by the SHA-256 of their secret."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    """Sessions and links by the SHA-256 of their token; none is in the file."""

    links: dict[str, Token] = field(default_factory=dict)
    """Links by id."""


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Replace the file; its content and its name are fsync'd before the function returns. Raises OSError."""
    records = {
        "version": VERSION,
        "organizations": [asdict(organization) for organization in snapshot.organizations.values()],
        "applications": [asdict(application) for application in snapshot.applications.values()],
        "keys": [{**asdict(key), "sha256": digest} for digest, key in snapshot.keys.items()],
    }
    new = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "w", encoding="utf-8") as file:
        json.dump(records, file, default=_plain)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_snapshot(path: Path) -> Snapshot | None:
    """Return the file's accounts; None where the file is missing or this version cannot read it."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        _check_version(records["version"])
        keys = [(_key(record), record["sha256"]) for record in records["keys"]]
        return Snapshot(
            {record["id"]: _organization(record) for record in records["organizations"]},
            {record["id"]: _application(record) for record in records["applications"]},
            {digest: key for key, digest in keys},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the accounts in %s cannot be read and are not used: %s", path, error)
        return None


def _check_version(version: object) -> None:
    if version != VERSION:
        raise ValueError(f"version {version!r} is unknown here")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a snapshot")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _organization(record: dict[str, Any]) -> Organization:
    return Organization(
        record["id"], record["name"], Plan(**record["plan"]), datetime.fromisoformat(record["created_at"])
    )


def _application(record: dict[str, Any]) -> Application:
    return Application(
        record["id"],
        record["organization_id"],
        record["name"],
        record["retention_days"],
        RequestLimits(**record["limits"]),
        datetime.fromisoformat(record["created_at"]),
        # An earlier version wrote none.
        record.get("target_ms"),
    )


def _key(record: dict[str, Any]) -> Key:
    return Key(
        record["id"],
        KeyKind(record["kind"]),
        record["organization_id"],
        record["application_id"],
        record["name"],
        record["first_characters"],
        datetime.fromisoformat(record["created_at"]),
        _time(record["expires_at"]),
        _time(record["revoked_at"]),
        _time(record["last_used_at"]),
    )
