"""The lines of logs: plain, gzip, too long, damaged, and from a pipe as they arrive."""

from __future__ import annotations

import fcntl
import gzip
import os
import resource
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
def test_a_log_is_split_at_line_breaks(tmp_path, content, lines):
    log = tmp_path / "access.log"
    log.write_bytes(content)
    assert lines_of(log) == lines


def test_a_long_line_is_cut_one_byte_after_the_limit(tmp_path):
    log = tmp_path / "access.log"
    log.write_bytes(b"x" * MAX_LINE_BYTES + b"\n" + b"y" * 10_000_000 + b"\nz\n")
    assert [len(line) for line in lines_of(log)] == [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 1]


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"a\nb\n", mtime=0),
        gzip.compress(b"a\n", mtime=0) + gzip.compress(b"b\n", mtime=0),
        gzip.compress(b"a\n", mtime=0) + bytes(512) + gzip.compress(b"b\n", mtime=0) + bytes(512),
    ],
)
def test_gzip_is_read_in_any_number_of_members(tmp_path, packed):
    log = tmp_path / "access.log.gz"
    log.write_bytes(packed)
    assert lines_of(log) == [b"a", b"b"]


def test_a_highly_compressed_gzip_is_read_in_bounded_pieces(tmp_path):
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress(b"a" * 99 + b"\n" + b"b" * 50_000_000 + b"\nc\n"))
    assert [len(line) for line in lines_of(log)] == [99, MAX_LINE_BYTES + 1, 1]


def cut_short(packed):
    return packed[:-9]


def overwritten(packed):
    return packed[:200] + bytes(50) + packed[250:]


@pytest.mark.parametrize("damage", [cut_short, overwritten])
def test_a_damaged_gzip_gives_the_lines_before_the_damage(tmp_path, damage):
    log = tmp_path / "access.log.gz"
    content = b"".join(b"%d %d\n" % (number, zlib.crc32(b"%d" % number)) for number in range(5000))
    log.write_bytes(damage(gzip.compress(content)))
    with open_log(str(log)) as opened, pytest.raises(DamagedLog):
        assert all(content.startswith(line) or line in content for line in opened.lines())


def test_a_silent_pipe_yields_none_and_a_file_has_its_own_time(tmp_path):
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


def test_a_pipe_with_a_high_descriptor_is_read_as_it_comes():
    reader, writer = os.pipe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    high = fcntl.fcntl(reader, fcntl.F_DUPFD, 2000)
    try:
        os.write(writer, b"a line\n")
        os.close(writer)
        assert [line for line in Log(high).lines() if line is not None] == [b"a line"]
    finally:
        os.close(high)
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
