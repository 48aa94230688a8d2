"""The name of a collector: its host, and some digits that it keeps in its spool over restarts."""

from __future__ import annotations

import logging
import re
import secrets
from contextlib import suppress
from pathlib import Path

from apimetry.collector.spool.files import Files, write_new

logger = logging.getLogger(__name__)

FILE = "collector-id"
_MAX_HOST_CHARACTERS = 57
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


def name_in(directory: Path, files: Files, *, host: str) -> str:
    """Return the name of the spool's collector; the first call makes it. Blocks.

    On a disk that takes no file the name is another at each start.
    """
    path = directory / FILE
    with suppress(OSError):
        name = bytes(files.read(path)).decode("ascii", "replace").strip()
        if _NAME.fullmatch(name):
            return name
    shown_host = _OTHER.sub("-", host)[:_MAX_HOST_CHARACTERS] or "collector"
    name = f"{shown_host}-{secrets.token_hex(3)}"
    try:
        with suppress(FileNotFoundError):
            files.remove(path)
        write_new(files, path, f"{name}\n".encode())
        files.sync_folder(directory)
    except OSError as error:
        logger.warning("the collector's name cannot be kept in %s: %s", path, error.strerror)
    return name
