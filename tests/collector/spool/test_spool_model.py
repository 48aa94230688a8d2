"""A model of the spool over a file system that loses power, fills up and fails.

The oracle: every batch whose append returned is handed out exactly once, unchanged, whatever happens in between; no
batch whose append raised is handed out unless its sender was never told; nothing else ever appears.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apimetry.collector.errors import SpoolBrokenError, SpoolError, SpoolFullError
from apimetry.collector.settings import SpoolSettings
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import Entry, Meta, scan
from tests.support.engine.faulty_files import FaultyFiles

ROOT = Path("/spool")
MAX_BYTES = 60_000


class Store:
    """Takes a segment once per token, and remembers every row."""

    def __init__(self):
        self.bodies = {}
        self.rows = []

    def insert(self, token, body, rows):
        if token in self.bodies:
            assert self.bodies[token] == body, "a retry changed its bytes"
            return
        self.bodies[token] = body
        self.rows += rows


class SpoolModel(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.files = FaultyFiles()
        self.store = Store()
        self.now_ns = 1_700_000_000_000_000_000
        self.number = 0
        self.acknowledged = {}
        self.refused = {}
        self.journal = None
        self.open()

    def open(self):
        self.files.clear_faults()
        self.journal = Journal(
            SpoolSettings(directory=ROOT, max_bytes=MAX_BYTES, segment_bytes=4000, segment_records=8),
            self.files,
            clock_ns=self.tick,
        )
        self.journal.open()

    def tick(self):
        """Tokens begin with the time: a clock that moves makes their order a rule's own doing."""
        self.now_ns += 1000
        return self.now_ns

    def entry(self, number, size):
        body = b"%08d" % number + bytes([number % 251]) * size
        key = number.to_bytes(16, "big")
        return Entry(Meta(key, "shop", self.now_ns // 1000), 1, body)

    def send(self, entries):
        """As the spool does: known ids are answered at once, the rest is appended in groups that fit."""
        for entry in entries:
            if entry.meta.batch_key in self.journal.ids:
                self.acknowledge(entry)
        entries = [entry for entry in entries if entry.meta.batch_key not in self.journal.ids]
        while entries:
            if self.journal.size_bytes + sum(e.record_bytes for e in entries) > MAX_BYTES:
                return
            try:
                count = self.journal.fitting(entries)
                group = entries[:count]
                self.journal.append(group, 0.0)
            except SpoolError:
                for entry in entries:
                    self.refused[entry.meta.batch_key] = entry
                return
            for entry in group:
                self.acknowledge(entry)
            entries = entries[count:]

    def acknowledge(self, entry):
        self.acknowledged[entry.meta.batch_key] = entry
        self.refused.pop(entry.meta.batch_key, None)

    @rule(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=5))
    def append(self, sizes):
        entries = []
        for size in sizes:
            self.number += 1
            entries.append(self.entry(self.number, size))
        self.send(entries)

    @rule()
    def retry_refused(self):
        self.send(list(self.refused.values()))

    @rule()
    def retry_after_a_lost_answer(self):
        """Senders repeat what was acknowledged, too: they did not hear of it."""
        self.send(list(self.acknowledged.values())[-5:])

    @rule(seed=st.integers(0, 100))
    def refused_write_that_cannot_be_undone(self, seed):
        """The hardest case: bytes of a refused batch stay in the file, its sender tries again, the power goes."""
        self.files.fail("sync")
        self.files.fail("truncate")
        self.append([20, 30])
        self.retry_refused()
        self.files.lose_power(seed)
        self.open()

    @rule()
    def killed_before_the_answer(self):
        """Bytes that only the page cache has are found by the next start."""
        self.number += 1
        entry = self.entry(self.number, 50)
        self.files.fail("sync")
        self.files.fail("truncate")
        self.files.fail("rename", times=3)
        self.send([entry])
        self.killed()

    @rule()
    def seal(self):
        with suppress(SpoolBrokenError):
            self.journal.seal()

    @rule(stop_after=st.sampled_from(["read", "insert", "remove"]))
    def drain(self, stop_after):
        """The writer's steps for the oldest segment, stopping after one of them."""
        for sealed in self.journal.sealed()[:1]:
            try:
                data = self.journal.read(sealed)
                records, damages = scan(data, sealed.token)
                assert not damages
                assert sum(record.rows for record in records) == sealed.rows
                if stop_after == "read":
                    return
                rows = [(record.meta.batch_key, bytes(record.row_bytes)) for record in records]
                self.store.insert(sealed.token, b"".join(body for _, body in rows), rows)
                if stop_after == "insert":
                    return
                self.journal.remove(sealed, [(r.meta.batch_key, r.meta.received_us) for r in records])
            except OSError:
                return

    @rule(call=st.sampled_from(["create", "write", "sync", "truncate", "rename", "sync_folder", "read", "remove"]))
    def io_error(self, call):
        self.files.fail(call)

    @rule(call=st.sampled_from(["create", "write"]))
    def no_space_once(self, call):
        self.files.fail(call, errno.ENOSPC)

    @rule(room=st.integers(0, 5000))
    def disk_full(self, room):
        self.files.capacity = self.files.used + room

    @rule()
    def faults_end(self):
        self.files.clear_faults()

    @rule()
    def killed(self):
        self.files.kill()
        self.open()

    @rule(seed=st.integers(0, 10_000))
    def power_lost(self, seed):
        self.files.lose_power(seed)
        self.open()

    @rule()
    def stopped(self):
        self.journal.close()
        self.open()

    @precondition(lambda self: self.journal is not None)
    @invariant()
    def never_over_its_size(self):
        assert self.journal.size_bytes <= MAX_BYTES

    def teardown(self):
        if getattr(self, "journal", None) is None:
            return
        self.files.clear_faults()
        self.send(list(self.refused.values()))
        self.files.kill()
        self.open()
        while self.journal.waiting:
            self.drain("remove")
        stored = dict(self.store.rows)
        keys = [key for key, _ in self.store.rows]
        assert len(keys) == len(set(keys)), "duplicates"
        assert not self.acknowledged.keys() - stored.keys(), "missing"
        sent = {**self.refused, **self.acknowledged}
        assert not stored.keys() - sent.keys(), "unknown"
        assert all(stored[key] == sent[key].row_bytes for key in stored), "changed"
        self.journal.close()
        assert self.journal.size_bytes == 0


SpoolModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_spool_keeps_what_it_acknowledged = SpoolModel.TestCase


def test_full_disk_is_a_full_spool():
    files = FaultyFiles()
    journal = Journal(SpoolSettings(directory=ROOT), files, clock_ns=lambda: 10**18)
    journal.open()
    files.capacity = files.used
    entry = Entry(Meta(b"k" * 16, "shop", 1), 1, b"row")
    with pytest.raises(SpoolFullError, match="full"):
        journal.append([entry], 0.0)
    files.clear_faults()
    journal.append([entry], 0.0)
    assert journal.rows == 1
