"""The file system for the spool: a protocol, so that tests can simulate a power loss, and its real implementation."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class Files(Protocol):
    """The calls of the spool. Every call raises OSError as the system does. Handles are integers, paths absolute."""

    def make_folder(self, path: Path) -> None:
        """Make the folder and its parents, with mode 0700; an existing folder is fine."""

    def lock(self, path: Path, owner: str) -> int:
        """Lock the file and write the owner into it; raises BlockingIOError that names the owner of the lock."""

    def create(self, path: Path) -> int:
        """Open a new file (mode 0600) for appending; raises FileExistsError."""

    def reopen(self, path: Path) -> int:
        """Open an existing file for appending."""

    def write(self, handle: int, data: bytes) -> None:
        """Append all of `data`; after an error, an unknown part of it was appended."""

    def sync(self, handle: int) -> None:
        """Return once the file's contents are on the disk."""

    def truncate(self, handle: int, length: int) -> None:
        """Cut the file to `length` bytes."""

    def close(self, handle: int) -> None:
        """Release the handle, and its lock."""

    def read(self, path: Path, limit: int = -1) -> bytes | bytearray:
        """Return the content, or its first `limit` bytes; the caller may change a returned bytearray."""

    def size(self, path: Path) -> int:
        """Return the length of the content in bytes."""

    def names(self, folder: Path) -> list[str]:
        """Return the names in the folder, sorted."""

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file within its folder."""

    def remove(self, path: Path) -> None:
        """Unlink the file."""

    def sync_folder(self, folder: Path) -> None:
        """Return once all new, changed and removed names of the folder are on the disk."""


class RealFiles:
    """The file system of this machine."""

    def make_folder(self, path: Path) -> None:
        """See Files."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        path.chmod(FOLDER_MODE)

    def lock(self, path: Path, owner: str) -> int:
        """See Files. The kernel releases the lock when the process ends, also after a kill."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise BlockingIOError(f"{path} is held by {holder}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, owner.encode(), 0)
        return handle

    def create(self, path: Path) -> int:
        """See Files."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, FILE_MODE)

    def reopen(self, path: Path) -> int:
        """See Files."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, handle: int, data: bytes) -> None:
        """See Files."""
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]

    def sync(self, handle: int) -> None:
        """See Files."""
        os.fsync(handle)

    def truncate(self, handle: int, length: int) -> None:
        """See Files."""
        os.ftruncate(handle, length)

    def close(self, handle: int) -> None:
        """See Files."""
        os.close(handle)

    def read(self, path: Path, limit: int = -1) -> bytes | bytearray:
        """See Files."""
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            data = bytearray(size if limit < 0 else min(limit, size))
            filled = 0
            while filled < len(data):
                # One read returns 2 GiB at most. It returns less if the file was cut meanwhile.
                count = file.readinto(memoryview(data)[filled:])
                if not count:
                    break
                filled += count
        del data[filled:]
        return data

    def size(self, path: Path) -> int:
        """See Files."""
        return path.stat().st_size

    def names(self, folder: Path) -> list[str]:
        """See Files."""
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted, not paths

    def rename(self, old: Path, new: Path) -> None:
        """See Files."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """See Files."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """See Files."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_new(files: Files, path: Path, data: bytes) -> None:
    """Write a new file, and return once the content and the name are on the disk; an existing file stays as it is."""
    try:
        handle = files.create(path)
    except FileExistsError:
        return
    try:
        files.write(handle, data)
        files.sync(handle)
    except OSError:
        with suppress(OSError):
            files.remove(path)
        raise
    finally:
        files.close(handle)
    files.sync_folder(path.parent)
