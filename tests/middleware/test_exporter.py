"""The exporter against a real collector that can be told to fail."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from email.utils import formatdate

import pytest

from apimetry.middleware.delivery import Outcome, parse_retry_after
from apimetry.middleware.recorder import Recorder
from tests.middleware.recording import event
from tests.support.services.fake_collector import FakeCollector, Reply


def test_event_is_sent_without_a_flush(make, fake_collector):
    recorder = make(flush_interval_s=0.01)
    recorder.record(event())
    (sent,) = fake_collector.wait_for_events(1)
    assert (sent["url"], sent["response_us"], sent["ttfb_us"]) == ("/a", 5000, 4000)


def test_full_batch_is_sent_before_the_interval(make, fake_collector):
    recorder = make(flush_interval_s=3600, max_batch_events=10)
    for _ in range(10):
        recorder.record(event())
    assert len(fake_collector.wait_for_events(10)) == 10


def test_after_a_pause_an_event_does_not_wait_for_the_interval(make, fake_collector):
    recorder = make(flush_interval_s=10)
    recorder.record(event())
    assert len(fake_collector.wait_for_events(1, timeout_s=8)) == 1


def test_request_carries_key_type_and_batch_id(make, fake_collector):
    recorder = make(source="web-1", version="2.3")
    recorder.record(event())
    assert recorder.flush(10)
    (post,) = fake_collector.posts
    assert post.headers["content-type"] == "application/msgpack"
    assert post.headers["x-api-key"] == fake_collector.options["write_key"]
    assert post.headers["x-batch-id"] == post.batch["id"].hex()
    sender = post.batch["sender"]
    assert (sender["source"], sender["version"], sender["captured"], sender["sent"]) == ("web-1", "2.3", 1, 0)
    assert sender["dropped"] == {}
    assert len(sender["instance"]) == 32


def test_batches_share_one_connection(make, fake_collector):
    recorder = make(max_batch_events=100)
    for number in range(300):
        recorder.record(event(f"/number/{number}"))
    assert recorder.flush(10)
    assert fake_collector.connections == 1
    assert len({e["url"] for e in fake_collector.events}) == 300


# A URL with "127.1" reaches the same server, by a name that is not known for this machine.
@pytest.mark.parametrize(("host", "encoding"), [("127.1", "gzip"), ("127.0.0.1", None)])
def test_large_batches_are_compressed_on_their_way_to_another_machine(make, fake_collector, host, encoding):
    recorder = make(collector_url=fake_collector.url.replace("127.0.0.1", host))
    for number in range(300):
        recorder.record(event(f"/number/{number}"))
    assert recorder.flush(10)
    assert {p.headers.get("content-encoding") for p in fake_collector.posts} == {encoding}
    assert len({e["url"] for e in fake_collector.events}) == 300


def test_batch_is_bounded_in_bytes(make, fake_collector):
    recorder = make(max_batch_bytes=5_000)
    for _ in range(20):
        recorder.record(event("/" + "x" * 1000))
    assert recorder.flush(10)
    assert len(fake_collector.events) == 20
    assert max(len(post.events) for post in fake_collector.posts) <= 4


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
def test_retry_repeats_the_same_bytes_with_the_same_batch_id(make, fake_collector, status):
    fake_collector.replies.extend([Reply(status), Reply(status), Reply(status)])
    recorder = make()
    recorder.record(event())
    posts = fake_collector.wait_for_posts(4)
    assert recorder.flush(10)
    assert [post.status for post in posts] == [status] * 3 + [200]
    assert len({(post.body, post.headers["x-batch-id"]) for post in posts}) == 1
    assert recorder.counters() == {"captured": 1, "sent": 1, "dropped": {}}


def test_connection_the_collector_closed_while_idle_costs_no_backoff(make, fake_collector, caplog):
    recorder = make()
    recorder.record(event())
    assert recorder.flush(10)
    fake_collector.replies.append(Reply(0))
    recorder.record(event())
    assert recorder.flush(10)
    assert [post.status for post in fake_collector.posts] == [200, 0, 200]
    assert caplog.records == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415])
def test_refused_batch_is_dropped_counted_and_logged_once(make, fake_collector, caplog, status):
    fake_collector.replies.extend([Reply(status), Reply(status)])
    recorder = make()
    for is_taken in (False, False, True):
        recorder.record(event())
        assert recorder.flush(10) is is_taken
    assert recorder.counters() == {"captured": 3, "sent": 1, "dropped": {"rejected": 2}}
    assert fake_collector.posts[-1].batch["sender"]["dropped"] == {"rejected": 2}
    assert [r.levelno for r in caplog.records] == [logging.WARNING]


def test_events_the_collector_rejects_are_counted(make, fake_collector):
    fake_collector.replies.append(Reply(200, body=b'{"accepted": 1, "rejected": 1}'))
    recorder = make()
    recorder.record(event())
    recorder.record(event())
    assert not recorder.flush(10)
    assert recorder.counters() == {"captured": 2, "sent": 1, "dropped": {"rejected": 1}}
    assert recorder.flush(10)  # there is nothing new to tell of


def test_flush_tells_of_a_refusal_that_came_before_it_until_something_is_taken(make, fake_collector):
    fake_collector.replies.append(Reply(401))
    recorder = make(flush_interval_s=0.01)
    recorder.record(event())
    fake_collector.wait_for_posts(1)
    assert [recorder.flush(10) for _ in range(3)] == [False] * 3
    recorder.record(event())
    assert recorder.flush(10)


def test_flush_without_a_key_says_that_nothing_is_sent(fake_collector):
    recorder = Recorder({"collector_url": fake_collector.url}, {})
    recorder.record(event())
    assert not recorder.flush(10)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(401, body=b'{"error": "unauthorized", "message": "Unknown key"}'), "events: status 401, Unknown key"),
        (Reply(403, body=b"<h1>no</h1>"), "events: status 403, Forbidden"),
        (Reply(404, body=b"[1]"), "events: status 404, Not Found"),
        (Reply(400, body=b"[" * 60_000), "events: status 400, Bad Request"),
        (Reply(400, body=b'{"message": 7}'), "events: status 400, Bad Request"),
        (Reply(400, body=b'{"message": "no: KEY\\u001b[31m\\n!"}'), "events: status 400, no: *** [31m !"),
        (
            Reply(200, body=b'{"rejected": 1, "details": [{"index": 0, "message": "too old"}]}'),
            "1 of 1 events: status 200, too old",
        ),
    ],
)
def test_log_line_of_a_refusal_names_address_status_and_reason_and_no_key(
    make, fake_collector, caplog, reply, reason
):
    key = fake_collector.options["write_key"]
    fake_collector.replies.append(Reply(reply.status, body=reply.body.replace(b"KEY", key.encode())))
    recorder = make(collector_url=fake_collector.url.replace("://", "://user:password@"))
    recorder.record(event())
    assert not recorder.flush(10)
    (line,) = (r.getMessage() for r in caplog.records)
    assert line == f"apimetry: the collector at {fake_collector.url}/1/event/ refuses {reason} (logged once)"


def test_log_line_of_a_collector_that_is_away_names_its_address(make, fake_collector, caplog):
    fake_collector.replies.append(Reply(503, body=b'{"message": "The spool is full"}'))
    recorder = make()
    recorder.record(event())
    assert recorder.flush(10)
    (line,) = (r.getMessage() for r in caplog.records)
    assert f"{fake_collector.url}/1/event/ does not take events: status 503, The spool is full" in line


@pytest.mark.parametrize("path", ["", "/", "/1/event", "/1/event/", "//1//event//", "/1/event/?a=b#c", "/ "])
@pytest.mark.parametrize("prefix", ["", "/apimetry", "/a/b/"])
def test_collector_url_may_have_a_prefix_and_may_name_the_endpoint(make, fake_collector, prefix, path):
    recorder = make(collector_url=fake_collector.url + prefix + path)
    recorder.record(event())
    assert recorder.flush(10)
    assert [post.path for post in fake_collector.posts] == [f"{prefix.rstrip('/')}/1/event/"]


def test_full_buffer_drops_the_newest_and_reports_it_later(make, fake_collector):
    hold = threading.Event()
    fake_collector.replies.append(Reply(200, hold=hold))
    recorder = make(max_buffer_events=10, max_batch_events=1)
    for number in range(50):
        recorder.record(event(f"/{number}"))
    counters = recorder.counters()
    assert (counters["captured"], counters["sent"]) == (50, 0)
    hold.set()
    assert recorder.flush(10)
    assert [e["url"] for e in fake_collector.events] == [f"/{number}" for number in range(10)]
    recorder.record(event())
    assert recorder.flush(10)
    assert fake_collector.posts[-1].batch["sender"]["dropped"] == {"buffer_full": 40}
    assert recorder.counters() == {"captured": 51, "sent": 11, "dropped": {"buffer_full": 40}}


def test_event_that_cannot_be_encoded_costs_itself_alone(make, fake_collector):
    recorder = make()
    recorder.record(("not", "an", "e", b"", ("v", "e"), "n", 1, 1, 1, 1, "", "", 1, None))
    recorder.record(event())
    assert not recorder.flush(10)
    assert recorder.counters() == {"captured": 2, "sent": 1, "dropped": {"invalid": 1}}


@pytest.mark.parametrize(
    ("length", "request_bytes"),
    [("", 0), ("17", 17), ("9" * 20, None), ("9" * 5000, None), ("-1", None), ("²", None), (0, 0), (5, 5)],
)
def test_length_that_nobody_can_believe_is_none(make, fake_collector, length, request_bytes):
    recorder = make()
    recorder.record((*event()[:8], length, *event()[9:]))
    assert recorder.flush(10)
    assert [e["request_bytes"] for e in fake_collector.events] == [request_bytes]


def test_length_of_many_digits_is_not_kept(make, fake_collector):
    hold = threading.Event()
    fake_collector.replies.append(Reply(200, hold=hold))
    recorder = make(max_batch_events=10)
    for _ in range(10):
        recorder.record(event())
    while recorder._exporter._buffer.queue:  # until the exporter's thread waits for the response
        time.sleep(0.01)
    for _ in range(5):
        recorder.record((*event()[:8], "9" * 5000, *event()[9:]))
    assert {len(kept[8]) for kept in list(recorder._exporter._buffer.queue)} == {20}
    hold.set()
    assert recorder.flush(10)


def test_value_that_the_wire_cannot_carry_costs_its_event_alone(make, fake_collector):
    recorder = make()
    for status in (200, 1 << 70, object(), 201):
        recorder.record(event(status=status))
    assert not recorder.flush(10)
    assert [e["status_code"] for e in fake_collector.events] == [200, 201]
    assert recorder.counters() == {"captured": 4, "sent": 2, "dropped": {"invalid": 2}}


def test_flush_says_when_the_collector_does_not_answer(make, fake_collector):
    fake_collector.replies.append(Reply(429, {"Retry-After": "600"}))
    recorder = make()
    recorder.record(event())
    fake_collector.wait_for_posts(1)
    assert not recorder.flush(0.05)
    assert len(fake_collector.posts) == 1


def test_events_wait_for_a_collector_that_starts_later():
    collector = FakeCollector()
    recorder = Recorder({**collector.options, "flush_interval_s": 0.01}, {})
    recorder.record(event())
    with collector:
        assert len(collector.wait_for_events(1)) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0", 0.0), ("-5", 0.0), ("99999", 600.0), (None, None), ("", None), ("soon", None)],
)
def test_retry_after_in_seconds(value, seconds):
    assert parse_retry_after(value, 1_000_000.0) == seconds


def test_retry_after_as_a_date():
    assert parse_retry_after(formatdate(1_000_030, usegmt=True), 1_000_000.0) == 30.0


def test_only_a_first_attempt_says_that_it_is_one(make, fake_collector):
    """A batch may be in a collector already after any request, also after one on a connection that was closed."""
    fake_collector.replies.extend([Reply(503), Reply(), Reply(0)])
    recorder = make()
    for _ in range(2):
        recorder.record(event())
        assert recorder.flush(20)
    attempts = [post.headers.get("x-batch-attempt") for post in fake_collector.posts]
    assert attempts == ["1", None, "1", None]
    assert len({post.headers["x-batch-id"] for post in fake_collector.posts}) == 2


def test_only_transport_errors_408_429_and_5xx_are_retried():
    retried = [status for status in [0, *range(100, 600)] if Outcome(status).is_retryable]
    assert retried == [0, 408, 429, *range(500, 600)]


def test_sampling_is_unbiased_and_keeps_slow_requests(make, fake_collector):
    recorder = make(sample=0.4, slow_ms=1000)
    for _ in range(4000):
        recorder.record(event())
    for _ in range(10):
        recorder.record(event("/slow", response_ns=1_000_000_000))
    assert recorder.flush(10)
    weights = [e["sample_weight"] for e in fake_collector.events if e["url"] == "/a"]
    assert set(weights) == {2, 3}
    # 4000 requests: the sum's standard deviation is about 80.
    assert 3500 < sum(weights) < 4500
    assert [e["sample_weight"] for e in fake_collector.events if e["url"] == "/slow"] == [1] * 10


def test_the_hosts_seeded_random_numbers_are_neither_used_nor_moved(make, fake_collector):
    recorder = make(sample=0.5, slow_ms=1000, max_batch_events=1, flush_interval_s=0.01)
    fake_collector.replies.extend([Reply(503), Reply(503)])
    state = random.getstate()
    try:
        for _ in range(200):
            random.seed(20)
            before = random.getstate()
            recorder.record(event("/a"))
            assert random.getstate() == before
        assert recorder.flush()
        assert random.getstate() == before
    finally:
        random.setstate(state)
    assert 50 < len(fake_collector.events) < 150


def test_thread_ends_with_its_recorder(make, fake_collector):
    recorder = make()
    recorder.record(event())
    assert recorder.flush(10)
    thread = recorder._exporter._worker.thread
    del recorder
    thread.join(10)
    assert not thread.is_alive()


def test_threads_whose_first_events_come_at_once_share_one_exporter_thread(make, fake_collector):
    recorders = [make() for _ in range(50)]
    barrier = threading.Barrier(8)

    def record():
        for recorder in recorders:
            barrier.wait()
            recorder.record(event())

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(recorder.flush(10) for recorder in recorders)
    running = Counter(threading.enumerate())
    assert [running[recorder._exporter._worker.thread] for recorder in recorders] == [1] * 50
    assert [recorder.counters()["sent"] for recorder in recorders] == [8] * 50
