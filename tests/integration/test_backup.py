"""`apimetry backup` and `restore`, and a data directory that was copied while its services were stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

from tests.support.services.processes import APIMETRY, BOOTSTRAP, post_events, running, total, wait_for_total


def events(count):
    now = time.time()
    return [{"timestamp": now - i, "method": "GET", "url": "/", "status_code": 200} for i in range(count)]


def test_restored_data_directory_has_the_events_the_keys_and_the_batches_seen_until_the_copy(tmp_path):
    data_dir, copy = tmp_path / "data", tmp_path / "copy"
    data_dir.mkdir()
    batch = events(7)
    with running("serve", data_dir=data_dir, **BOOTSTRAP) as service:
        assert post_events(service.collector_url, batch, **{"X-Batch-Id": "before"})[0] == 200
        wait_for_total(service, service.query_url, 7)
    shutil.copytree(data_dir, copy, symlinks=True)
    with running("serve", data_dir=data_dir) as service:
        assert post_events(service.collector_url, events(5))[0] == 200
        wait_for_total(service, service.query_url, 12)
    with running("serve", data_dir=copy) as service:
        assert total(service.query_url) == 7
        status, answer = post_events(service.collector_url, batch, **{"X-Batch-Id": "before"})
        assert (status, answer.get("duplicate")) == (200, True)
        assert post_events(service.collector_url, events(3))[0] == 200
        wait_for_total(service, service.query_url, 10)


def apimetry(*arguments):
    return subprocess.run([APIMETRY, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def test_restored_backup_of_a_killed_service_has_every_acknowledged_event_once_and_knows_the_batches(tmp_path):
    data_dir, folder, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    data_dir.mkdir()
    batch = events(7)
    with running("serve", data_dir=data_dir, **BOOTSTRAP) as service:
        assert post_events(service.collector_url, batch, **{"X-Batch-Id": "before"})[0] == 200
        # The events may be in the spool, in the store, or in both.
        service.stop(signal.SIGKILL)
    backup = apimetry("backup", folder, "--data-dir", data_dir, "--json")
    assert backup.returncode == 0, backup.stderr
    assert json.loads(backup.stdout)["events"] == json.loads(backup.stdout)["rolled_up"] == 7
    again = apimetry("backup", folder, "--data-dir", data_dir)
    assert (again.returncode, "a backup is a new folder" in again.stderr) == (1, True)
    filled = apimetry("restore", folder, "--data-dir", restored, "--json")
    assert (filled.returncode, filled.stdout) == (0, backup.stdout), filled.stderr
    with running("serve", data_dir=restored) as service:
        status, answer = post_events(service.collector_url, batch, **{"X-Batch-Id": "before"})
        assert (status, answer.get("duplicate")) == (200, True)
        assert post_events(service.collector_url, events(3))[0] == 200
        wait_for_total(service, service.query_url, 10)


def test_a_backup_that_was_refused_leaves_nothing_in_the_way_of_the_next(tmp_path):
    data_dir, folder = tmp_path / "data", tmp_path / "backup"
    data_dir.mkdir()
    with running("serve", data_dir=data_dir, **BOOTSTRAP) as service:
        assert service.query_url  # It is known once the service has its store.
        refused = apimetry("backup", folder, "--data-dir", data_dir)
        assert (refused.returncode, "stop it" in refused.stderr) == (1, True)
    backup = apimetry("backup", folder, "--data-dir", data_dir)
    assert backup.returncode == 0, backup.stderr


def test_what_is_no_whole_backup_is_not_restored(tmp_path):
    (tmp_path / "half").mkdir()
    done = apimetry("restore", tmp_path / "half", "--data-dir", tmp_path / "new")
    assert (done.returncode, "is no whole backup" in done.stderr) == (1, True)
    assert not (tmp_path / "new" / "store").exists()


def test_a_backup_of_no_store_fails_and_makes_nothing(tmp_path):
    folder, missing = tmp_path / "backup", tmp_path / "mistyped"
    backup = apimetry("backup", folder, "--data-dir", missing)
    assert (backup.returncode, "there is no store in" in backup.stderr) == (1, True), backup.stderr
    assert not folder.exists()
    assert not missing.exists()


def test_a_backup_of_a_store_without_tables_fails_and_leaves_no_folder(tmp_path):
    folder, data_dir = tmp_path / "backup", tmp_path / "data"
    # A service that may not migrate opens the store, and ends.
    assert apimetry("serve", "--migrate", "false", "--data-dir", data_dir).returncode == 1
    backup = apimetry("backup", folder, "--data-dir", data_dir)
    assert (backup.returncode, "no tables of apimetry" in backup.stderr) == (1, True), backup.stderr
    assert not folder.exists()


def test_a_backup_into_the_data_directory_is_refused(tmp_path):
    data_dir = tmp_path / "data"
    assert apimetry("migrate", "--data-dir", data_dir).returncode == 0
    (tmp_path / "also").symlink_to(data_dir)
    for folder in (data_dir / "backup", data_dir, tmp_path / "also" / "backup"):
        backup = apimetry("backup", folder, "--data-dir", data_dir)
        assert (backup.returncode, "outside the data directory" in backup.stderr) == (1, True), backup.stderr
    assert not (data_dir / "backup").exists()


def test_a_damaged_backup_is_refused_in_one_line_and_leaves_an_empty_directory(tmp_path):
    data_dir, folder, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    data_dir.mkdir()
    with running("serve", data_dir=data_dir, **BOOTSTRAP) as service:
        assert post_events(service.collector_url, events(3))[0] == 200
        wait_for_total(service, service.query_url, 3)
    assert apimetry("backup", folder, "--data-dir", data_dir).returncode == 0
    part = next(path for path in (folder / "store").rglob("data.bin") if path.stat().st_size > 100)
    whole = part.read_bytes()
    part.write_bytes(whole[:-10])
    done = apimetry("restore", folder, "--data-dir", restored)
    assert (done.returncode, "the engine says" in done.stderr) == (1, True), done.stderr
    assert "Stack trace" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(restored.iterdir()) == []
    part.write_bytes(whole)
    done = apimetry("restore", folder, "--data-dir", restored, "--json")
    assert (done.returncode, json.loads(done.stdout)["events"]) == (0, 3), done.stderr
