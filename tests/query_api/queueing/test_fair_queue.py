"""Slots are shared among organizations and keys, and a queue has bounds for each."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from apimetry.query_api.queueing.fair_queue import LONG_S, MAX_IDLE, Asker, FairQueue, Refusal
from apimetry.serving.errors import Unavailable

HEAVY, OTHER_KEY, LIGHT = Asker("heavy", "one"), Asker("heavy", "two"), Asker("light", "three")


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Requests:
    """Requests that hold a slot until they are told to end; `begun` has their names in the order of their slots."""

    def __init__(self, slots=4, *, max_waiting=64, max_wait_s=60.0):
        self.clock = Clock()
        self.queue = FairQueue(slots, max_waiting=max_waiting, max_wait_s=max_wait_s, clock=self.clock)
        self.begun = []
        self.standings = {}
        self.ends = {}
        self.tasks = {}

    async def send(self, name, asker, count=1):
        names = [name] if count == 1 else [f"{name}{number}" for number in range(count)]
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._hold(name, asker))
        await self.settle()

    async def _hold(self, name, asker):
        async with self.queue.slot(asker) as standing:
            self.begun.append(name)
            self.standings[name] = standing
            await self.ends[name].wait()

    async def get_known(self, *askers):
        """Have askers be here for longer than newcomers are, with no load to speak of."""
        for asker in askers:
            await self.send(f"first of {asker}", asker)
            await self.end(f"first of {asker}")
        self.clock.now += 40

    async def settle(self):
        for _ in range(8):
            await asyncio.sleep(0)

    async def end(self, name):
        self.ends[name].set()
        await self.tasks[name]
        await self.settle()

    async def refusal(self, name):
        with pytest.raises(Unavailable) as refused:
            await self.tasks[name]
        return refused.value

    async def close(self):
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@contextlib.asynccontextmanager
async def requests(*arguments, **options):
    sender = Requests(*arguments, **options)
    try:
        yield sender
    finally:
        await sender.close()
    assert (sender.queue.running, sender.queue.waiting) == (0, 0)


async def test_a_key_holds_half_of_the_slots_and_an_organization_all_but_one():
    async with requests(4) as sent:
        await sent.send("heavy", HEAVY, 10)
        assert sent.begun == ["heavy0", "heavy1"]
        await sent.send("other", OTHER_KEY, 10)
        assert sent.begun[2:] == ["other0"]
        await sent.send("light", LIGHT, 2)
        assert sent.begun[3:] == ["light0"]


@pytest.mark.parametrize(("slots", "held"), [(1, 1), (2, 1), (3, 1), (5, 2), (8, 4)])
async def test_one_key_leaves_a_slot_free_wherever_there_are_two(slots, held):
    async with requests(slots) as sent:
        await sent.send("heavy", HEAVY, 20)
        assert len(sent.begun) == held


async def test_a_free_slot_goes_to_whom_had_the_smallest_load():
    async with requests(2) as sent:
        await sent.send("heavy", HEAVY, 3)
        await sent.send("light", LIGHT, 3)
        assert sent.begun == ["heavy0", "light0"]
        sent.clock.now += 1
        await sent.end("light0")
        sent.clock.now += 30
        await sent.end("heavy0")
        assert sent.begun[2:] == ["light1", "heavy1"]


async def test_within_an_organization_a_free_slot_goes_to_the_key_with_the_smallest_load():
    async with requests(2) as sent:
        await sent.send("heavy", HEAVY, 5)
        sent.clock.now += 10
        await sent.send("other", OTHER_KEY, 1)
        await sent.end("heavy0")
        assert sent.begun == ["heavy0", "other"]


async def test_requests_of_one_key_begin_in_their_order():
    async with requests(2) as sent:
        await sent.send("heavy", HEAVY, 4)
        for number in range(4):
            sent.clock.now += 1
            await sent.end(f"heavy{number}")
        assert sent.begun == ["heavy0", "heavy1", "heavy2", "heavy3"]


async def test_who_is_heavier_than_another_has_a_higher_rank_and_is_told():
    async with requests(4) as sent:
        await sent.get_known(HEAVY, LIGHT, OTHER_KEY)
        await sent.send("heavy", HEAVY, 5)
        sent.clock.now += 20
        await sent.send("light", LIGHT)
        await sent.end("heavy0")
        await sent.end("heavy1")
        heavy, light = sent.standings["heavy2"], sent.standings["light"]
        assert heavy.rank > light.rank
        assert (heavy.is_heavier, light.is_heavier) == (True, False)
        # A quiet key is better off than a busy one of its organization, and worse than another organization.
        await sent.send("other", OTHER_KEY)
        assert light.rank < sent.standings["other"].rank < heavy.rank


async def test_a_newcomer_stands_as_if_it_were_heavy_until_it_is_known():
    async with requests(4) as sent:
        await sent.get_known(LIGHT)
        await sent.send("light", LIGHT)
        await sent.send("heavy", HEAVY)
        assert sent.standings["light"].rank < sent.standings["heavy"].rank
        assert sent.standings["heavy"].is_heavier


async def test_beside_somebody_lighter_a_key_begins_at_half_of_its_slots():
    async with requests(8) as sent:
        await sent.send("heavy", HEAVY, 9)
        assert len(sent.begun) == 4
        await sent.get_known(LIGHT)
        await sent.send("light", LIGHT)
        for number in range(3):
            await sent.end(f"heavy{number}")
            assert sent.queue.running == max(3, 4 - number)
        # Alone again, after a minute, it has all of its share.
        await sent.end("light")
        sent.clock.now += 300
        await sent.end("heavy3")
        assert sent.queue.running == 4


async def test_a_load_is_forgotten_after_some_minutes():
    async with requests(4) as sent:
        await sent.send("heavy", HEAVY)
        sent.clock.now += 60
        await sent.end("heavy")
        sent.clock.now += 400
        await sent.send("light", LIGHT)
        await sent.send("again", HEAVY)
        assert sent.standings["again"] == sent.standings["light"]


async def test_a_queue_has_bounds_for_a_key_an_organization_and_all():
    async with requests(2, max_waiting=8) as sent:
        await sent.send("running", LIGHT)
        await sent.send("heavy", HEAVY, 4)
        assert sent.queue.waiting == 2
        refused = await sent.refusal("heavy3")
        assert "2 requests of this key" in refused.message
        await sent.send("other", OTHER_KEY, 2)
        await sent.send("third", Asker("heavy", "third"))
        assert "organization" in (await sent.refusal("third")).message
        assert sent.queue.refused == {Refusal.key: 1, Refusal.organization: 1}


async def test_in_a_full_queue_who_has_the_most_makes_room_for_who_has_less():
    async with requests(2, max_waiting=8) as sent:
        for name in ("a", "b"):
            for key in ("1", "2"):
                await sent.send(f"{name}{key}-", Asker(name, key), 3)
        assert sent.queue.waiting == 8
        await sent.send("light", LIGHT)
        assert sent.queue.waiting == 8
        refused = {name: str(task.exception()) for name, task in sent.tasks.items() if task.done()}
        # The newest of the organization that had the most waiting; others were over their own bounds.
        assert [name for name, message in refused.items() if message.startswith("8 requests")] == ["a2-1"]
        assert sent.queue.refused[Refusal.total] == 1
        sent.clock.now += 1
        await sent.end("a1-0")
        assert sent.begun[-1] == "light"


async def test_who_waited_the_longest_allowed_time_is_refused_and_told_when_to_come_back():
    async with requests(1, max_wait_s=0.01) as sent:
        await sent.send("heavy", HEAVY)
        await sent.send("late", HEAVY)
        refused = await sent.refusal("late")
        assert int(refused.headers["Retry-After"]) >= 1
        assert sent.queue.refused == {Refusal.time: 1}
        assert sent.queue.waiting == 0


async def test_who_would_wait_too_long_is_refused_at_once():
    async with requests(4, max_wait_s=15.0) as sent:
        await sent.send("heavy", HEAVY, 12)
        for number in range(5):
            sent.clock.now += 2
            await sent.end(f"heavy{number}")
        # Five before the first one that waits began in ten seconds. Five are before the next one.
        assert sent.begun[-1] == "heavy6"
        await sent.send("patient", HEAVY)
        sent.clock.now += 20
        await sent.send("late", HEAVY)
        refusal = await sent.refusal("late")
        assert sent.queue.refused == {Refusal.time: 1}
        assert refusal.headers["Retry-After"] == "30"
        # The measure is the key's own.
        await sent.send("other", OTHER_KEY)
        assert sent.begun[-1] == "other"


async def test_a_few_before_it_do_not_tell_how_long_a_request_would_wait():
    async with requests(4, max_wait_s=15.0) as sent:
        await sent.send("heavy", HEAVY, 4)
        sent.clock.now += 40
        await sent.send("next", HEAVY)
        assert sent.queue.waiting == 3


async def test_retry_after_is_as_long_as_the_key_s_first_has_waited_within_a_minute():
    async with requests(1, max_waiting=4) as sent:
        await sent.send("heavy", HEAVY, 2)
        for waited_s, retry_after in [(7, "7"), (600, "60")]:
            sent.clock.now += waited_s
            await sent.send("late", HEAVY)
            assert (await sent.refusal("late")).headers["Retry-After"] == retry_after


async def test_who_leaves_while_it_waits_or_holds_a_slot_takes_nothing_along():
    async with requests(2) as sent:
        await sent.send("heavy", HEAVY, 3)
        for name in ("heavy1", "heavy0"):
            sent.tasks[name].cancel()
            await sent.settle()
        assert sent.begun == ["heavy0", "heavy2"]
        assert (sent.queue.running, sent.queue.waiting) == (1, 0)


async def test_a_slot_that_is_granted_to_somebody_who_just_left_goes_to_the_next():
    async with requests(2) as sent:
        await sent.send("heavy", HEAVY, 3)
        sent.ends["heavy0"].set()
        sent.tasks["heavy1"].cancel()
        await sent.settle()
        assert sent.begun[-1] == "heavy2"
        assert sent.queue.running == 1


async def test_memory_of_askers_does_not_grow():
    async with requests(2) as sent:
        for number in range(50):
            await sent.send("once", Asker(f"organization{number}", "key"))
            await sent.end("once")
            sent.clock.now += 10
        assert len(sent.queue._organizations) < 10


async def test_keys_without_end_are_remembered_up_to_a_bound_and_those_that_run_always():
    async with requests(4) as sent:
        await sent.send("runs", HEAVY)
        for number in range(MAX_IDLE + 100):
            async with sent.queue.slot(Asker("many", str(number))):
                pass
        shares = sent.queue._organizations
        assert len(shares["many"].keys) == MAX_IDLE
        assert str(MAX_IDLE + 99) in shares["many"].keys
        assert "0" not in shares["many"].keys
        assert shares["heavy"].running == 1


@contextlib.asynccontextmanager
async def requests_with_room_aside(slots=4, aside=4):
    async with requests(slots) as sent:
        sent.queue = FairQueue(slots, max_waiting=64, max_wait_s=60.0, aside=aside, clock=sent.clock)
        yield sent
        await sent.close()
        assert (sent.queue.running, sent.queue.waiting, sent.queue.aside) == (0, 0, 0)


async def test_short_requests_do_not_wait_behind_long_ones_of_their_own_key():
    async with requests_with_room_aside() as sent:
        await sent.send("long", HEAVY, 2)
        await sent.send("early", HEAVY)
        assert sent.begun == ["long0", "long1"]
        sent.clock.now += LONG_S
        await sent.send("short", HEAVY)
        assert sorted(sent.begun[2:]) == ["early", "short"]
        assert (sent.queue.running, sent.queue.aside) == (2, 2)


async def test_a_waiting_request_begins_when_those_before_it_become_long():
    async with requests_with_room_aside() as sent:
        await sent.send("long", HEAVY, 2)
        sent.clock.now += LONG_S - 0.1
        await sent.send("short", HEAVY)
        assert "short" not in sent.begun
        sent.clock.now += 0.1
        await sent.send("other", LIGHT)
        assert "short" in sent.begun


async def test_aside_a_key_has_half_of_the_places_and_an_organization_all_but_one():
    async with requests_with_room_aside() as sent:
        for round_ in range(4):
            await sent.send(f"key{round_}-", HEAVY, 2)
            sent.clock.now += LONG_S
        await sent.send("last", HEAVY)
        # Two aside, and two that are long as well and keep their slots.
        assert len(sent.begun) == 4
        assert sent.queue.aside == 2
        await sent.send("other", OTHER_KEY, 3)
        sent.clock.now += LONG_S
        await sent.send("another", OTHER_KEY)
        assert sent.queue.aside == 3
        await sent.send("light", LIGHT)
        sent.clock.now += LONG_S
        await sent.send("light again", LIGHT)
        assert sent.queue.aside == 4


async def test_a_long_request_that_ends_makes_room_aside():
    async with requests_with_room_aside(aside=2) as sent:
        await sent.send("long", HEAVY, 2)
        sent.clock.now += LONG_S
        await sent.send("next", HEAVY, 2)
        assert sent.begun == ["long0", "long1", "next0"]
        await sent.end("long0")
        assert (sent.queue.running, sent.queue.aside) == (2, 1)
        assert sent.begun[3:] == ["next1"]


async def test_requests_aside_count_as_load():
    async with requests_with_room_aside() as sent:
        await sent.get_known(HEAVY, LIGHT)
        await sent.send("long", HEAVY)
        sent.clock.now += LONG_S
        await sent.send("short", HEAVY)
        await sent.end("short")
        assert sent.queue.aside == 1
        await sent.send("light", LIGHT)
        await sent.end("light")
        sent.clock.now += 30
        await sent.send("after", HEAVY)
        assert sent.standings["after"].is_heavier
