"""What senders say about themselves is believed as far as it can be true, in bounded memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.senders import MAX_EVENTS_PER_S, MAX_SENDERS, MAX_WAITING, REASONS, SENDER_BYTES, Senders
from apimetry.middleware.event import DropReason
from tests.support.services.collecting import collecting, envelope, wire_row

NOW_S = 1_700_000_000.0


def test_every_reason_of_the_middleware_is_of_the_closed_set():
    assert {reason.value for reason in DropReason} <= set(REASONS)


def test_reasons_of_others_are_counted_as_one_and_none_is_lost():
    dropped = {**{f"reason_{number}": 1 for number in range(100)}, "x" * 60_000: 7, "buffer_full": 3}
    believed = Senders().believed("shop", Sender(instance="a", captured=110, dropped=dropped))
    assert believed.dropped == {"buffer_full": 3, "other": 107}


@pytest.mark.parametrize(
    ("counts", "is_believed"),
    [
        ({"captured": 2**53}, False),
        ({"captured": 2**53, "sent": 2**53}, False),
        ({"captured": 2**53, "dropped": {"buffer_full": 2**53}}, False),
        ({"captured": MAX_WAITING + 1}, False),
        ({"sent": 2**53}, False),
        ({"dropped": {"expired": 2**53}}, False),
        ({"captured": 5, "sent": 3}, True),
        ({"captured": MAX_WAITING}, True),
        ({"captured": 10**9, "sent": 10**9 - 20_000}, True),
    ],
)
def test_report_that_no_process_can_have_come_to_is_not_believed(counts, is_believed):
    senders = Senders(clock_s=lambda: NOW_S)
    assert (senders.believed("shop", Sender(instance="a", **counts)) is not None) == is_believed


def test_counts_grow_no_faster_than_a_process_answers():
    now = [NOW_S]
    senders = Senders(clock_s=lambda: now[0])
    senders.record("shop", Sender(instance="a", captured=10, sent=10))
    now[0] += 100
    most = 10 + 100 * MAX_EVENTS_PER_S + MAX_WAITING
    assert senders.believed("shop", Sender(instance="a", captured=most + 1, sent=most)) is None
    assert senders.believed("shop", Sender(instance="a", captured=most, sent=most)) is not None


async def test_counts_that_cannot_be_true_are_in_no_report(tmp_path):
    async with collecting(tmp_path) as collector:
        names = {"DROP TABLE": 2**53, "tenant-7": 1}
        for number, counts in enumerate([{"captured": 2**53}, {"captured": 1, "dropped": names}, {"captured": 4}]):
            sender = {"instance": f"{number}" * 32, "sent": 0, "dropped": {}, **counts}
            body = envelope([wire_row()], batch_id=bytes([number]) * 16, sender=sender)
            assert (await collector.post(body, Content_Type="application/msgpack")).status == 200
        await collector.drained()
        assert (await collector.metrics())["disbelieved_reports_total"] == 2
        assert len(collector.store.reports) == 1


async def test_what_senders_claim_moves_no_metric_that_all_tenants_share(tmp_path):
    """Whoever has a write key can invent instances, and a believable count for each of them."""
    figures = []
    for claim in ({}, {"captured": MAX_WAITING, "sent": 10**5, "dropped": {"expired": MAX_WAITING - 10**5, "x": 7}}):
        async with collecting(tmp_path / str(len(claim))) as collector:
            for number in range(20):
                sender = {"instance": f"invented-{number}", "captured": 1, "sent": 0, "dropped": {}, **claim}
                body = envelope([wire_row()], batch_id=bytes([number]) * 16, sender=sender)
                assert (await collector.post(body, Content_Type="application/msgpack")).status == 200
            await collector.drained()
            metrics = await collector.metrics()
            figures.append({name: value for name, value in metrics.items() if "events_total" in name})
    assert figures[0] == figures[1]
    assert figures[0]["received_events_total"] == 20


APPLICATIONS = [f"{number:05d}" + "a" * 59 for number in range(MAX_SENDERS)]


@pytest.mark.parametrize("applications", [APPLICATIONS[:1], APPLICATIONS[:100], APPLICATIONS])
def test_full_table_of_the_largest_senders_stays_below_its_bound(applications):
    senders = Senders()
    dropped = {**dict.fromkeys(REASONS, 10**5), **{f"{number}" + "x" * 1000: 1 for number in range(48)}}
    gc.collect()
    tracemalloc.start()
    for number in range(MAX_SENDERS + 1000):
        sender = Sender(
            source="s" * 256, version="v" * 128, library="l" * 60_000, instance=f"{number:05d}" + "\U0001f600" * 59,
            captured=10**9, sent=10**9 - 600_000, dropped=dropped,
        )  # fmt: skip
        application = applications[number % len(applications)]
        believed = senders.believed(application, sender)
        if believed is not None:
            senders.record(application, believed)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(senders) == MAX_SENDERS
    assert held < MAX_SENDERS * SENDER_BYTES


def test_invented_senders_of_one_application_evict_none_of_another():
    senders = Senders(clock_s=lambda: NOW_S)
    for application in ("quiet", "small"):
        senders.record(application, Sender(instance="a", captured=10**9, sent=10**9))
    for number in range(MAX_SENDERS + 100):
        senders.record("greedy", Sender(instance=f"invented-{number}", captured=1))
    assert len(senders) == MAX_SENDERS
    # Without the report before, this count could not be true.
    again = Sender(instance="a", captured=10**9 + 1, sent=10**9 + 1, started_us=int((NOW_S - 60) * 1e6))
    assert senders.believed("quiet", again) is not None
    assert senders.believed("stranger", again) is None
    # A new application finds room, too: the one with the most senders gives it.
    senders.record("new", Sender(instance="a", captured=10**9, sent=10**9))
    assert senders.believed("new", again) is not None
    assert len(senders) == MAX_SENDERS
