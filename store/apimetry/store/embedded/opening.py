"""Prepare the data directory of an embedded store, before the engine opens it."""

from __future__ import annotations

from pathlib import Path

from apimetry.store.embedded.intent import undo
from apimetry.store.embedded.ownership import Ownership, take_ownership
from apimetry.store.embedded.repair import forget_lost_blocks
from apimetry.store.errors import StoreError, StoreUnavailable
from apimetry.store.events import clear_insert_files


def prepare_directory(directory: Path) -> Ownership:
    """Lock an embedded store's directory, and remove what a killed process left of an insert.

    Raises StoreLocked where another process owns the directory, StoreUnavailable where the disk refuses it.
    """
    try:
        ownership = take_ownership(directory)
        try:
            clear_insert_files(directory)
            undo(directory)
            forget_lost_blocks(directory)
        except BaseException:
            ownership.release()
            raise
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreUnavailable(f"{directory} cannot be used ({error.strerror})") from error
    return ownership
