"""Bring the schema of a store up to date, without a running service."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from apimetry.cli import banner
from apimetry.cli.opening import first_keys, store_of
from apimetry.cli.output import print_rows
from apimetry.cli.settings import Settings
from apimetry.store import migrations


def migrate(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Bring the schema up to date and make the first keys; with `dry_run` print the statements only.

    Raises:
        StoreError: the store cannot be used, or is away.
    """
    store = store_of(settings)
    store.open()
    try:
        if dry_run:
            _print_pending(migrations.pending(store), as_json=as_json)
            return
        applied = migrations.migrate(store)
        migrations.check(store)
        credentials = first_keys(store, settings, generate=True)
    finally:
        store.close()
    print_rows([{"migration": name} for name in applied], ["migration"], as_json=as_json)
    if credentials is not None:
        banner.show_keys(credentials, settings, file=sys.stderr if as_json else sys.stdout)


def _print_pending(pending: Sequence[migrations.Migration], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"migration": step.name, "statements": step.statements} for step in pending]))
        return
    for step in pending:
        print(f"-- {step.name}")
        for statement in step.statements:
            print(f"{statement};\n")
