"""`apimetry spool` looks at a spool, finds damage, and puts quarantined rows back once."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from apimetry.cli.main import main
from apimetry.collector.errors import SpoolLockedError
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.inspection import status_of, verify
from apimetry.collector.spool.replay import replay
from apimetry.collector.spool.segment import HEADER_BYTES
from apimetry.store.native import decode_block, decode_blocks, encode_block
from tests.support.services.collecting import MemoryStore, collecting, envelope, unpack_rows, wire_row

WIRE = "application/msgpack"


def spool_command(data_dir, *arguments):
    return CliRunner().invoke(main, ["spool", *arguments, "--data-dir", str(data_dir)])


async def left_behind(directory, batches=3):
    """A spool with `batches` of two events in one segment, as a collector leaves it whose store was away."""
    store = MemoryStore()
    store.away = True
    async with collecting(directory, store, spool={"segment_age_s": 3600}, drain_timeout_s=0.1) as collector:
        for number in range(batches):
            body = envelope([wire_row(number * 2), wire_row(number * 2 + 1)], batch_id=bytes([number]) * 16)
            assert (await collector.post(body, Content_Type=WIRE)).status == 200


async def quarantined(directory):
    """A spool with two rows in the quarantine and nothing else; returns the store."""
    store = MemoryStore()
    store.poison = lambda row: row["url"] in ("/v1/scores/1", "/v1/scores/3")
    async with collecting(directory, store) as collector:
        assert (await collector.post(envelope([wire_row(i) for i in range(5)]), Content_Type=WIRE)).status == 200
        await collector.drained()
    store.poison = None
    return store


def stored_urls(store):
    return sorted(row["url"] for row in store.rows)


async def test_status_says_what_waits(tmp_path):
    await left_behind(tmp_path / "spool")
    status = json.loads(spool_command(tmp_path, "status", "--json").output)
    size = sum(path.stat().st_size for path in (tmp_path / "spool" / "segments").iterdir())
    expected = {"segments": 1, "bytes": size, "events": 6, "owner": None, "quarantine_pieces": 0}
    assert {name: status[name] for name in expected} == expected
    assert status["oldest"].startswith("20")
    assert "events             6" in spool_command(tmp_path, "status").output


async def test_status_of_a_running_collector_names_it_and_does_not_disturb_it(tmp_path):
    store = MemoryStore()
    store.away = True
    async with collecting(tmp_path, store, spool={"segment_age_s": 3600}) as collector:
        assert (await collector.post(envelope([wire_row()]), Content_Type=WIRE)).status == 200
        status = status_of(tmp_path)
        assert status.owner is not None
        assert status.owner.startswith("process")
        assert (status.segments, status.events) == (1, 1)
        assert all(checked.whole for checked in verify(tmp_path))
        with pytest.raises(SpoolLockedError, match="Stop it first"):
            replay(tmp_path, RealFiles())
        store.away = False
    assert status_of(tmp_path).owner is None
    assert status_of(tmp_path).batch_ids == 1


async def test_verify_is_content_with_a_whole_spool_and_finds_every_flipped_byte(tmp_path):
    await left_behind(tmp_path / "spool")
    assert spool_command(tmp_path, "verify").exit_code == 0
    (path,) = (tmp_path / "spool" / "segments").iterdir()
    whole = path.read_bytes()
    for offset in range(HEADER_BYTES, len(whole), 7):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 4]) + whole[offset + 1 :])
        (checked,) = verify(tmp_path / "spool")
        assert not checked.whole
        assert (checked.events, checked.missing_events) == (4, 2)
    failed = spool_command(tmp_path, "verify", "--json")
    assert failed.exit_code == 1
    path.write_bytes(whole[:-1])
    (checked,) = verify(tmp_path / "spool")
    assert not checked.whole


async def test_replayed_rows_are_stored_once_even_when_the_replay_is_repeated(tmp_path):
    directory = tmp_path / "spool"
    store = await quarantined(directory)
    assert len(stored_urls(store)) == 3
    contents = {path: path.read_bytes() for path in (directory / "quarantine").iterdir()}
    replayed = json.loads(spool_command(tmp_path, "replay", "--json").output)
    assert [(segment["rows"], segment["kept"]) for segment in replayed] == [(1, ""), (1, "")]
    assert not list((directory / "quarantine").iterdir())
    assert all(checked.whole for checked in verify(directory))
    async with collecting(directory, store) as collector:
        await collector.drained()
        assert await collector.reconcile() == 2
    assert stored_urls(store) == [f"/v1/scores/{i}" for i in range(5)]
    for path, data in contents.items():  # as a kill between the segment and the removal leaves it
        path.write_bytes(data)
    assert spool_command(tmp_path, "replay").exit_code == 0
    async with collecting(directory, store) as collector:
        await collector.drained()
    assert stored_urls(store) == [f"/v1/scores/{i}" for i in range(5)]


async def test_rows_that_are_still_refused_come_back_to_the_quarantine(tmp_path):
    store = await quarantined(tmp_path)
    store.poison = lambda row: row["url"] == "/v1/scores/1"
    replay(tmp_path, RealFiles())
    async with collecting(tmp_path, store) as collector:
        await collector.drained()
    assert stored_urls(store) == [f"/v1/scores/{i}" for i in (0, 2, 3, 4)]
    assert status_of(tmp_path).quarantine_pieces == status_of(tmp_path).quarantine_rows == 1


async def test_replayed_rows_are_stored_ones_of_their_sender(tmp_path):
    """What was `unaccounted` is stored then; nothing is captured or sent a second time."""
    store = await quarantined(tmp_path)
    before = merged_reports(store)
    assert (before["sent"], before["stored"]) == (8, 3)
    replay(tmp_path, RealFiles())
    store.poison = lambda row: row["url"] == "/v1/scores/1"  # and one of them is refused again
    async with collecting(tmp_path, store) as collector:
        await collector.drained()
    assert merged_reports(store) == {**before, "stored": 4}
    store.poison = None
    replay(tmp_path, RealFiles())
    async with collecting(tmp_path, store) as collector:
        await collector.drained()
    assert merged_reports(store) == {**before, "stored": 5}


def merged_reports(store):
    """The one row that the store merges all reports of the tests' sender to."""
    rows = [row for body in store.reports.values() for row in unpack_rows(body)]
    assert len({(row["application"], row["minute"], row["instance"]) for row in rows}) == 1
    merge = {"captured": max, "sent_before": min, "sent": max, "stored": sum}
    return {name: function(row[name] for row in rows) for name, function in merge.items()}


async def test_rows_that_nobody_can_read_stay_in_the_quarantine(tmp_path):
    await quarantined(tmp_path)
    for piece in (tmp_path / "quarantine").glob("*.rows"):
        piece.write_bytes(piece.read_bytes()[:-1])
    assert all("no block that this version reads" in piece.kept for piece in replay(tmp_path, RealFiles()))
    assert status_of(tmp_path).quarantine_pieces == 2


async def test_quarantine_of_an_earlier_version_is_replayed_without_a_sender(tmp_path):
    store = await quarantined(tmp_path)
    for note in (tmp_path / "quarantine").glob("*.json"):
        members = json.loads(note.read_text())
        note.write_text(json.dumps({name: members[name] for name in ("reason", "rows", "bytes", "at")}))
    replay(tmp_path, RealFiles())
    async with collecting(tmp_path, store) as collector:
        await collector.drained()
    assert len(store.rows) == 5
    assert merged_reports(store)["stored"] == 3


async def test_quarantined_rows_of_an_earlier_version_get_todays_types(tmp_path):
    store = await quarantined(tmp_path)
    for piece in (tmp_path / "quarantine").glob("*.rows"):
        columns = decode_block(piece.read_bytes())
        types = {column.name: column.type for column in columns}
        piece.write_bytes(encode_block({**types, "response_us": "UInt64"}, [column.values for column in columns]))
    replay(tmp_path, RealFiles())
    async with collecting(tmp_path, store) as collector:
        await collector.drained()
    assert len(store.rows) == 5
    types = {
        column.type for body in store.bodies.values() for column in decode_blocks(body)[0] if "_us" in column.name
    }
    assert types == {"Nullable(UInt64)"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda note: {}, "note cannot be read"),
        (lambda note: [], "note cannot be read"),
    ],
    ids=["empty note", "no note"],
)
async def test_what_cannot_be_put_back_stays(tmp_path, change, why):
    await quarantined(tmp_path)
    notes = list((tmp_path / "quarantine").glob("*.json"))
    for note in notes:
        note.write_text(json.dumps(change(json.loads(note.read_text()))))
    assert all(why in piece.kept for piece in replay(tmp_path, RealFiles()))
    assert len(list((tmp_path / "quarantine").iterdir())) == 2 * len(notes)


@pytest.mark.parametrize("command", ["status", "verify", "replay"])
def test_no_spool_and_a_newer_one_are_refused_with_a_sentence(tmp_path, command):
    missing = spool_command(tmp_path, command)
    assert (missing.exit_code, "is no spool" in missing.output) == (1, True)
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "format").write_text("apimetry spool 9\n")
    newer = spool_command(tmp_path, command)
    assert (newer.exit_code, "this version reads" in newer.output) == (1, True)
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["format"]
