"""Bring the schema of a store up to date, without a running service."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence

import msgspec

from apimetry.cli import banner
from apimetry.cli.opening import check_first_keys, first_keys, has_store, store_of
from apimetry.cli.output import print_rows
from apimetry.cli.settings import Settings
from apimetry.store import migrations


def migrate(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Bring the schema up to date and make the first keys; with `dry_run` print the statements only.

    Raises:
        StoreError: the store cannot be used, or is away.
    """
    if dry_run:
        _print_pending(_pending(settings), as_json=as_json)
        return
    check_first_keys(settings)
    store = store_of(settings)
    store.open()
    try:
        applied = migrations.migrate(store)
        migrations.check(store)
        credentials = first_keys(store, settings, generate=True)
    finally:
        store.close()
    print_rows([{"migration": name} for name in applied], ["migration"], as_json=as_json)
    if credentials is not None:
        banner.show_keys(credentials, settings, file=sys.stderr if as_json else sys.stdout)


def _pending(settings: Settings) -> Sequence[migrations.Migration]:
    """Return the migrations that the store needs. Where none is yet, one that is removed again stands for it."""
    with tempfile.TemporaryDirectory() as empty:
        if not settings.store and not has_store(settings):
            settings = msgspec.structs.replace(settings, data_dir=empty)
        store = store_of(settings)
        store.open()
        try:
            return migrations.pending(store)
        finally:
            store.close()


def _print_pending(pending: Sequence[migrations.Migration], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"migration": step.name, "statements": step.statements} for step in pending]))
        return
    for step in pending:
        print(f"-- {step.name}")
        for statement in step.statements:
            print(f"{statement};\n")
