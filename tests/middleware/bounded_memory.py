"""A host that is sent the largest values there are, to be run: prints how far its resident memory grows."""

from __future__ import annotations

import itertools
import json
import os
import random
import string
import sys
from pathlib import Path

from apimetry.middleware.event import DropReason
from apimetry.middleware.recorder import Recorder
from apimetry.middleware.routes import NameCache
from apimetry.middleware.rows import make_row

LONG = 60_000
COUNTER = itertools.count()


def read_resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_text(generator, length, alphabet):
    """A text that is like no other; long ones are cheap to make."""
    head = "".join(generator.choices(alphabet, k=32)) + str(next(COUNTER))
    return (head * (length // len(head) + 1))[:length]


def make_event(generator):
    wide = generator.random() < 0.3
    alphabet = "😀中é/-=&.%" if wide else string.ascii_letters + "/-=&.%;@:"

    def text(most):
        return make_text(generator, generator.choice((0, 10, most // 2, most)), alphabet)

    def raw(most):
        return make_text(generator, generator.choice((0, 10, most)), string.ascii_letters + "/-=&.%").encode()

    data = {
        make_text(generator, 512, alphabet): make_text(generator, 512, alphabet)
        for _ in range(generator.choice((0, 0, 0, 32)))
    }
    return (
        0,
        text(LONG) or "GET",
        "/" + text(LONG),
        raw(LONG),
        ("/r", "f"),
        200,
        1,
        None,
        generator.choice((0, "9" * LONG)),
        1,
        raw(LONG),
        text(512),
        1,
        (text(512), generator.choice(("", (text(LONG), text(512), text(512)))), text(512), data or None),
    )


def fill_buffer(generator, options):
    recorder = Recorder({**options, "collector_url": "http://127.0.0.1:9", "write_key": "k", "consumer": "x-key"}, {})
    recorder.record((0, "GET", "/", b"", ("/", "f"), 200, 1, None, 0, 1, b"", "", 1, None))
    before = read_resident_bytes()
    for _ in range(2000):
        recorder.record(make_event(generator))
    for number in range(22_000):  # and ordinary ones in all that is left
        path = f"/v1/{number}"
        recorder.record(
            (
                number << 40,
                "GET",
                path,
                b"a=%d" % number,
                ("/", "f"),
                200,
                number,
                None,
                0,
                number,
                b"",
                "",
                1,
                None,
            )
        )
    grown = read_resident_bytes() - before
    assert set(recorder.counters()["dropped"]) <= {reason.value for reason in DropReason}
    return grown


def fill_caches(generator):
    options = Recorder({"write_key": "k", "consumer": "x-key"}, {}).options
    names = NameCache()
    before = read_resident_bytes()
    for number in range(1200):
        event = make_event(generator)
        make_row(event, options, 0)
        tail = make_text(generator, 200, string.ascii_letters)
        for path in (f"/{tail}/{number}", f"/token/{tail}", f"/{number}/{tail}"):
            make_row(
                (
                    *event[:2],
                    path,
                    f"{tail[:60]}=1&{tail}=2".encode(),
                    *event[4:10],
                    tail[:250].encode(),
                    *event[11:],
                ),
                options,
                0,
            )
        names.put((number, make_text(generator, LONG, "ab")), None, "/a", (None, event[1]))
    return read_resident_bytes() - before


if __name__ == "__main__":
    generator = random.Random(int(sys.argv[1]))
    print(json.dumps({"caches": fill_caches(generator), "buffer": fill_buffer(generator, {})}))
    sys.stdout.flush()
    os._exit(0)  # nothing is there to deliver to
