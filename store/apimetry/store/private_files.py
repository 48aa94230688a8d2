"""Files of the data directory are their owner's alone: 0600, folders 0700, also those of earlier versions."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
OTHERS: Final = 0o077


def keep_private(data_dir: Path) -> int:
    """Take others' rights on the data directory and on what services keep in it; returns on how many entries.

    What the process makes from now on is private, too. A folder of another user, or one that is shared by its nature
    (with the sticky bit, as /tmp), is left as it is, and so is what does not look like ours in it.
    """
    os.umask(OTHERS)
    found = data_dir.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        return 0
    ours = [data_dir, *data_dir.glob("*.json"), *data_dir.glob("*.lock")]
    for name in ("store", "spool"):
        # What a link leads to is not known to be ours.
        if not (data_dir / name).is_symlink():
            for folder, _, files in os.walk(data_dir / name):
                ours += [Path(folder), *(Path(folder, file) for file in files)]
    return sum(_tighten(path) for path in ours)


def _tighten(path: Path) -> bool:
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or not found.st_mode & OTHERS:
            return False
        path.chmod(FOLDER_MODE if stat.S_ISDIR(found.st_mode) else FILE_MODE)
    except FileNotFoundError:
        # Another process of the same directory has just finished with it.
        return False
    return True
