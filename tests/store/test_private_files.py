"""What a data directory holds is its owner's alone."""

from __future__ import annotations

import os
import stat

import pytest

from apimetry.store.embedded.intent import NAME, Intents, undo
from apimetry.store.private_files import keep_private
from tests.support.services.processes import BOOTSTRAP, running


@pytest.fixture
def loose_umask():
    """Others may read what is made meanwhile."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_rights_of_others_are_taken_from_all_that_is_ours_and_from_nothing_else(tmp_path, loose_umask):
    tmp_path.chmod(0o755)
    (tmp_path / "store" / "deep").mkdir(parents=True)
    (tmp_path / "store" / "deep" / "part.bin").touch()
    (tmp_path / "credentials.json").touch()
    (tmp_path / "their.txt").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "their.txt").touch()
    (tmp_path / "spool").symlink_to(elsewhere)
    assert keep_private(tmp_path) == 5
    assert keep_private(tmp_path) == 0
    assert mode(tmp_path) == mode(tmp_path / "store" / "deep") == 0o700
    assert mode(tmp_path / "store" / "deep" / "part.bin") == mode(tmp_path / "credentials.json") == 0o600
    assert mode(tmp_path / "their.txt") == mode(elsewhere / "their.txt") == 0o644


@pytest.mark.parametrize("first", [undo, lambda directory: Intents(directory).close()])
def test_intent_is_private_whoever_makes_it(tmp_path, loose_umask, first):
    first(tmp_path)
    assert mode(tmp_path / NAME) == 0o600


def test_services_keep_nothing_that_others_may_read(tmp_path, loose_umask):
    tmp_path.chmod(0o755)
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as service:
        assert service.collector_url
        paths = [tmp_path, *tmp_path.rglob("*")]
        assert len(paths) > 20
        assert not [path for path in paths if path.exists() and not path.is_symlink() and mode(path) & 0o077]
