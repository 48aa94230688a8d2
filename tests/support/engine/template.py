"""A store that was migrated once; the embedded store of a test module begins as a copy of its files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from apimetry.store import migrations
from apimetry.store.client import Store


def make_template(directory: Path) -> None:
    """Migrate a new embedded store in `directory`. A process of its own does it: here another store may be open."""
    subprocess.run([sys.executable, __file__, directory], check=True)


def copy_store(template: Path, directory: Path) -> None:
    """Make `directory` a closed embedded store with the template's tables."""
    shutil.copytree(template, directory, symlinks=True)


if __name__ == "__main__":
    store = Store(f"chdb://{sys.argv[1]}")
    store.open()
    migrations.migrate(store)
    store.close()
