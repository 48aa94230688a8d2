"""A segment's bytes under torn writes and flipped bits."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from apimetry.collector.errors import SpoolBrokenError, SpoolFullError, SpoolLockedError, SpoolVersionError
from apimetry.collector.segments import load
from apimetry.collector.settings import SpoolSettings
from apimetry.collector.spool import segment
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import Entry, Meta, encode_header, encode_record, scan
from apimetry.store.events import ROW_COLUMNS
from tests.support.engine.faulty_files import FaultyFiles

TOKEN = segment.new_token(1)
CREATED_NS = 10**18
ROOT = Path("/spool")


def entry(number, size=40):
    return Entry(Meta(bytes([number]) * 16, "shop", CREATED_NS // 1000), 1, bytes([number]) * size)


def make_segment(count=6, size=40):
    data = encode_header(CREATED_NS)
    ends = []
    for number in range(count):
        data += encode_record(entry(number, size), TOKEN, len(data))
        ends.append(len(data))
    return data, ends


def make_journal(files, root=ROOT, **settings):
    ticks = itertools.count(CREATED_NS)
    spool_settings = SpoolSettings(directory=root, **settings)
    return Journal(spool_settings, files, clock_ns=lambda: next(ticks))


def fill(journal, numbers):
    for number in numbers:
        journal.append([entry(number)], 0.0)


def rows_of(journal):
    return [bytes(record.row_bytes) for sealed in journal.sealed() for record in load(journal, sealed).records]


def test_tail_cut_at_any_byte_keeps_all_whole_records():
    data, ends = make_segment()
    for length in range(segment.HEADER_BYTES, len(data) + 1):
        records, damages = scan(data[:length], TOKEN)
        whole = [end for end in ends if end <= length]
        assert [record.end for record in records] == whole
        assert bool(damages) == (length not in (segment.HEADER_BYTES, *ends))


def test_flipped_bit_anywhere_loses_its_record_only_and_changes_none():
    data, ends = make_segment()
    good = {bytes(record.row_bytes) for record in scan(data, TOKEN)[0]}
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 1 << position % 8
        records, damages = scan(bytes(broken), TOKEN)
        in_header = position < segment.HEADER_BYTES
        assert len(records) == len(ends) - (not in_header)
        assert {bytes(record.row_bytes) for record in records} <= good
        assert len(damages) == (not in_header)


def test_tokens_differ_even_within_one_tick_of_a_clock_that_stands_still():
    """So they do after a step of the clock, a wiped spool, and among collectors: nothing else is in a token."""
    tokens = {segment.new_token(CREATED_NS) for _ in range(1000)}
    assert len(tokens) == 1000
    assert {token[:20] for token in tokens} == {f"{CREATED_NS:020d}"}


def test_record_of_another_segment_or_place_is_not_taken():
    data, ends = make_segment(2)
    assert scan(data, segment.new_token(1))[0] == []
    moved = data[: segment.HEADER_BYTES] + data[ends[0] :]
    assert scan(moved, TOKEN)[0] == []


def test_restart_after_a_torn_write_keeps_whole_records_at_every_cut():
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    fill(journal, range(4))
    (name,) = [name for name in files.names_now if name.endswith(".open")]
    content = bytes(files.names_now[name].data)
    records, _ = scan(content, Path(name).name.removesuffix(".open"))
    for length in range(records[1].end, len(content) + 1):
        again = FaultyFiles()
        handle = again.create(Path(name))
        again.write(handle, content[:length])
        recovered = make_journal(again)
        recovered.open()
        whole = sum(record.end <= length for record in records)
        assert rows_of(recovered) == [bytes([number]) * 40 for number in range(whole)]
        assert recovered.rows == whole
        assert recovered.size_bytes == sum(
            len(node.data) for path, node in again.names_now.items() if "/segments/" in path
        )


def test_a_segment_in_traffic_waits_its_age_and_the_first_after_a_pause_a_tenth_of_it(tmp_path):
    journal = make_journal(RealFiles(), tmp_path, segment_age_s=1.0)
    journal.open()
    waits = []
    for began_s in (100.0, 100.2, 101.3, 103.2, 105.2, 1_000.0):
        journal.append([entry(1)], began_s)
        journal.append([entry(2)], began_s + 0.01)
        waits.append(round(journal.due_in_s(began_s), 3))
        journal.seal()
    assert waits == [0.1, 1.0, 1.0, 1.0, 0.1, 0.1]
    journal.append([entry(3)], 1_000.5)
    assert (journal.due_in_s(1_001.0), journal.due_in_s(1_002.0)) == (0.5, 0.0)
    journal.close()


def test_bit_rot_in_a_sealed_segment_is_put_aside_and_counted(tmp_path):
    journal = make_journal(RealFiles(), tmp_path)
    journal.open()
    fill(journal, range(5))
    journal.seal()
    (path,) = (tmp_path / "segments").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    contents = load(journal, journal.sealed()[0])
    assert (contents.whole.rows, contents.damaged_rows, contents.damaged_pieces) == (4, 1, 1)
    load(journal, journal.sealed()[0])
    suffixes = sorted(path.suffix for path in (tmp_path / "quarantine").iterdir())
    assert suffixes == [".damaged", ".json"]
    journal.close()


def test_file_shorter_than_its_name_says_is_damage(tmp_path):
    journal = make_journal(RealFiles(), tmp_path)
    journal.open()
    fill(journal, range(5))
    journal.seal()
    (path,) = (tmp_path / "segments").iterdir()
    os.truncate(path, path.stat().st_size - 10)
    assert load(journal, journal.sealed()[0]).damaged_rows == 1
    journal.close()


def test_failed_fsync_is_not_believed_when_it_succeeds_later():
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    fill(journal, [0])
    files.fail("sync")
    with pytest.raises(SpoolBrokenError, match="fsync"):
        fill(journal, [1])
    fill(journal, [2])
    journal.seal()
    assert len(journal.sealed()) == 2
    assert rows_of(journal) == [bytes([0]) * 40, bytes([2]) * 40]
    files.lose_power()
    recovered = make_journal(files)
    recovered.open()
    assert sorted(rows_of(recovered)) == [bytes([0]) * 40, bytes([2]) * 40]


@pytest.mark.parametrize("seed", range(20))
def test_what_stands_behind_a_token_survives_the_power_even_after_a_failed_write(seed):
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    fill(journal, [0])
    files.fail("sync")
    files.fail("truncate")
    with pytest.raises(SpoolBrokenError):
        fill(journal, [1])
    journal.seal()
    (sealed,) = journal.sealed()
    inserted = load(journal, sealed).whole.body
    files.lose_power(seed)
    recovered = make_journal(files)
    recovered.open()
    assert [segment.token for segment in recovered.sealed()] == [sealed.token]
    assert load(recovered, recovered.sealed()[0]).whole.body == inserted


def test_full_disk_stores_no_half_of_a_batch_and_drains_by_itself():
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    journal.append([entry(0, 5000)], 0.0)
    files.capacity = files.used + 60
    with pytest.raises(SpoolFullError, match="disk is full"):
        fill(journal, [1])
    files.capacity = files.used
    journal.seal()
    (sealed,) = journal.sealed()
    contents = load(journal, sealed)
    # The ids need room of their own, which the reserve gives.
    journal.remove(sealed, contents.keys)
    assert journal.size_bytes == 0
    fill(journal, [2])
    assert bytes([0]) * 16 in journal.ids


def test_start_on_a_full_disk_keeps_what_was_acknowledged():
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    fill(journal, range(3))
    files.kill()
    files.capacity = files.used
    recovered = make_journal(files)
    recovered.open()
    assert rows_of(recovered) == [bytes([number]) * 40 for number in range(3)]


def test_start_killed_between_copy_and_removal_finds_the_segment_once():
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    fill(journal, range(3))
    files.kill()
    files.fail("remove")
    with pytest.raises(OSError, match="Input/output"):
        make_journal(files).open()
    files.kill()
    recovered = make_journal(files)
    recovered.open()
    assert recovered.rows == 3
    assert len(recovered.sealed()) == 1


def test_start_on_a_failing_disk_says_so():
    files = FaultyFiles()
    journal = make_journal(files)
    journal.open()
    fill(journal, range(3))
    files.kill()
    files.fail("write")
    with pytest.raises(SpoolBrokenError, match="cannot be recovered"):
        make_journal(files).open()
    recovered = make_journal(files)
    recovered.open()
    assert recovered.rows == 3


def test_second_owner_is_refused_and_told_who_has_it(tmp_path):
    journal = make_journal(RealFiles(), tmp_path)
    journal.open()
    with pytest.raises(SpoolLockedError, match=f"process {os.getpid()}"):
        make_journal(RealFiles(), tmp_path).open()
    journal.close()
    make_journal(RealFiles(), tmp_path).open()


def test_killed_owner_leaves_no_lock(tmp_path):
    script = (
        "import os, signal, time; from pathlib import Path\n"
        "from apimetry.collector.settings import SpoolSettings\n"
        "from apimetry.collector.spool.files import RealFiles\n"
        "from apimetry.collector.spool.journal import Journal\n"
        f"settings = SpoolSettings(directory=Path({str(tmp_path)!r}))\n"
        "Journal(settings, RealFiles(), clock_ns=time.time_ns).open()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    journal = make_journal(RealFiles(), tmp_path)
    journal.open()
    journal.close()


@pytest.mark.parametrize("change", ["format", "header"])
def test_newer_spool_is_refused_untouched(tmp_path, change):
    journal = make_journal(RealFiles(), tmp_path)
    journal.open()
    fill(journal, [0])
    (path,) = (tmp_path / "segments").iterdir()
    journal.ids.close()
    os.close(journal._lock_handle)
    if change == "format":
        (tmp_path / "format").write_text("apimetry spool 2\n")
    elif change == "header":
        header = bytearray(path.read_bytes()[: segment.HEADER_BYTES])
        header[9] = segment.VERSION + 1
        header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "big")
        path.write_bytes(bytes(header) + path.read_bytes()[segment.HEADER_BYTES :])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SpoolVersionError):
        make_journal(RealFiles(), tmp_path).open()
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {k: v for k, v in before.items() if k.name != "lock"} == {
        k: v for k, v in after.items() if k.name != "lock"
    }


def test_other_columns_are_another_format_version():
    """An earlier version must refuse what its table may not have. Whoever changes a column raises VERSION, keeps the
    former one among READABLE_VERSIONS, and then changes the number here."""
    assert (segment.VERSION, zlib.crc32(repr(dict(ROW_COLUMNS)).encode())) == (4, 0x7495CD1B)


def test_segments_rotate_by_bytes_and_by_records():
    files = FaultyFiles()
    journal = make_journal(files, segment_bytes=2000, segment_records=3)
    journal.open()
    entries = [entry(number) for number in range(10)]
    while entries:
        count = journal.fitting(entries)
        journal.append(entries[:count], 0.0)
        entries = entries[count:]
    journal.seal()
    assert [sealed.rows for sealed in journal.sealed()] == [3, 3, 3, 1]
    large = [entry(11, 5000), entry(12)]
    assert journal.fitting(large) == 1
    journal.append(large[:1], 0.0)
    assert journal.fitting(large[1:]) == 1
    assert len(journal.sealed()) == 5


def test_ids_outside_the_window_are_forgotten_and_their_logs_removed():
    files = FaultyFiles()
    now = [CREATED_NS]
    settings = SpoolSettings(directory=ROOT, batch_window_s=10.0, batch_window_ids=3)
    journal = Journal(settings, files, clock_ns=lambda: now[0])
    journal.open()
    for number in range(5):
        journal.ids.add(bytes([number]) * 16, now[0] // 1000)
    assert len(journal.ids) == 3
    journal.ids.write([(b"k" * 16, now[0] // 1000)], now[0] // 1000)
    now[0] += 20 * 10**9
    journal.ids.write([(b"l" * 16, now[0] // 1000)], now[0] // 1000)
    journal.ids.add(b"l" * 16, now[0] // 1000)
    assert len(journal.ids) == 1
    journal.close()
    files.kill()
    assert len([name for name in files.names_now if name.endswith(".ids")]) == 1
    again = Journal(settings, files, clock_ns=lambda: now[0])
    again.open()
    assert b"l" * 16 in again.ids
    assert len(again.ids) == 1
