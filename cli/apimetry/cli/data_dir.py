"""What a service leaves in the data directory for the other commands: the first keys, and where it listens.

Both files are for their owner only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click


def credentials_in(data_dir: str | Path) -> Path:
    """Return where the first application and its keys are kept."""
    return Path(data_dir).expanduser().absolute() / "credentials.json"


def addresses_in(data_dir: str | Path) -> Path:
    """Return where the addresses of the services of this machine are kept."""
    return Path(data_dir).expanduser().absolute() / "addresses.json"


def read(path: Path) -> dict[str, str]:
    """Return what the file has; nothing where there is none.

    Raises:
        click.ClickException: it is there and cannot be read.
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
    """Replace the file at once and for good: a reader sees the old one or the new one, whole."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(dict(content), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def keep_addresses(data_dir: str | Path, addresses: Mapping[str, str]) -> None:
    """Note where services listen, beside those of other processes; only in a data directory that is there.

    Args:
        data_dir: the data directory.
        addresses: base URL by "collector_url" and "query_url".
    """
    path = addresses_in(data_dir)
    if not path.parent.is_dir():
        return
    try:
        kept = read(path)
    except click.ClickException:
        # Nobody's loss: what stands in it is written anew by each start.
        kept = {}
    if kept != {**kept, **addresses}:
        write(path, {**kept, **addresses})
