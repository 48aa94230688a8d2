"""Make the data directory readable by its owner only: files 0600, folders 0700, also files of earlier versions."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
OTHERS: Final = 0o077


def keep_private(data_dir: Path) -> int:
    """Remove other users' rights on the data directory and on the services' files; return the number of changes.

    Files that the process creates later are private, too. The function does not change a directory of another user, a
    shared directory (with the sticky bit, as /tmp), or files with names that the services do not use.
    """
    os.umask(OTHERS)
    status = data_dir.stat()
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        return 0
    paths = [data_dir, *data_dir.glob("*.json"), *data_dir.glob("*.lock")]
    for name in ("store", "spool"):
        # The target of a link may belong to another program.
        if not (data_dir / name).is_symlink():
            for folder, _, files in os.walk(data_dir / name):
                paths += [Path(folder), *(Path(folder, file) for file in files)]
    return sum(_tighten(path) for path in paths)


def _tighten(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & OTHERS:
            return False
        path.chmod(FOLDER_MODE if stat.S_ISDIR(mode) else FILE_MODE)
    except FileNotFoundError:
        # Another process has just removed the file.
        return False
    return True
