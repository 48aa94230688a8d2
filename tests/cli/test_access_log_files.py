"""The lines of logs: plain, gzip, too long, broken off, and of a pipe as they come."""

import gzip
import os
import zlib

import pytest

from apimetry.cli.access_logs.files import MAX_LINE_BYTES, DamagedLog, Log, open_log


def lines_of(path):
    with open_log(str(path)) as log:
        return list(log.lines())


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n\nb\r\n", [b"a", b"", b"b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"]),
        (b"\x1f", [b"\x1f"]),
    ],
)
def test_a_line_is_what_stands_before_its_end(tmp_path, content, lines):
    log = tmp_path / "access.log"
    log.write_bytes(content)
    assert lines_of(log) == lines


def test_of_a_line_that_is_too_long_one_byte_more_than_the_limit_is_kept(tmp_path):
    log = tmp_path / "access.log"
    log.write_bytes(b"x" * MAX_LINE_BYTES + b"\n" + b"y" * 10_000_000 + b"\nz\n")
    assert [len(line) for line in lines_of(log)] == [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 1]


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"a\nb\n"),
        gzip.compress(b"a\n") + gzip.compress(b"b\n"),
        gzip.compress(b"a\n") + bytes(512) + gzip.compress(b"b\n") + bytes(512),
    ],
)
def test_gzip_is_read_in_any_number_of_members(tmp_path, packed):
    log = tmp_path / "access.log.gz"
    log.write_bytes(packed)
    assert lines_of(log) == [b"a", b"b"]


def test_a_thousandfold_gzip_is_read_in_bounded_pieces(tmp_path):
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress(b"a" * 99 + b"\n" + b"b" * 50_000_000 + b"\nc\n"))
    assert [len(line) for line in lines_of(log)] == [99, MAX_LINE_BYTES + 1, 1]


def cut_short(packed):
    return packed[:-9]


def overwritten(packed):
    return packed[:200] + bytes(50) + packed[250:]


@pytest.mark.parametrize("damage", [cut_short, overwritten])
def test_a_damaged_gzip_gives_what_is_whole(tmp_path, damage):
    log = tmp_path / "access.log.gz"
    content = b"".join(b"%d %d\n" % (number, zlib.crc32(b"%d" % number)) for number in range(5000))
    log.write_bytes(damage(gzip.compress(content)))
    with open_log(str(log)) as opened, pytest.raises(DamagedLog):
        assert all(content.startswith(line) or line in content for line in opened.lines())


def test_a_pipe_says_when_nothing_comes_and_a_file_is_as_old_as_it_is(tmp_path):
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb", buffering=0) as pipe:
        log = Log(reading)
        assert log.is_live
        lines = log.lines()
        pipe.write(b"a\nb")
        assert [next(lines), next(lines)] == [b"a", None]
        pipe.write(b"c\n")
        assert next(lines) == b"bc"
        pipe.close()
        assert list(lines) == []
    file = tmp_path / "access.log"
    file.write_bytes(b"a\n")
    os.utime(file, (5, 5))
    with open_log(str(file)) as opened:
        assert (opened.is_live, opened.written_s) == (False, 5)
