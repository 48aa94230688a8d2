"""The files in the data directory that services write for other commands: the first keys, and service addresses.

Only the owner can read the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click


def credentials_in(data_dir: str | Path) -> Path:
    """Return the path of the file with the first application and its keys."""
    return Path(data_dir).expanduser().absolute() / "credentials.json"


def addresses_in(data_dir: str | Path) -> Path:
    """Return the path of the file with the addresses of this machine's services."""
    return Path(data_dir).expanduser().absolute() / "addresses.json"


def read(path: Path) -> dict[str, str]:
    """Return the texts of a JSON file by name; nothing where the file does not exist.

    Raises:
        click.ClickException: the file exists and cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(f"{path} is not JSON; move it away, or set the variables instead") from error
    if not isinstance(content, dict):
        raise click.ClickException(f"{path} is not a JSON object; move it away, or set the variables instead")
    return {name: value for name, value in content.items() if isinstance(value, str) and value}


def write(path: Path, content: Mapping[str, str]) -> None:
    """Replace the file atomically and durably: a reader sees the whole old file or the whole new file."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(dict(content), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def store_addresses(data_dir: str | Path, addresses: Mapping[str, str]) -> None:
    """Store the addresses of services beside those of other processes; do nothing without a data directory.

    Args:
        data_dir: the data directory.
        addresses: base URL by "collector_url" and "query_url".
    """
    path = addresses_in(data_dir)
    if not path.parent.is_dir():
        return
    try:
        stored = read(path)
    except click.ClickException:
        # Nothing is lost: each start writes its addresses again.
        stored = {}
    if stored != {**stored, **addresses}:
        write(path, {**stored, **addresses})
