"""Share a few slots among askers: first among organizations, then among the keys of each.

Invariants:

- With two slots or more, nobody holds all of them: one organization holds all slots but one at most, one key half of
  them. These maximums are halved for an asker while another has less than half of its load.
- A free slot goes to the organization with the smallest load, there to the key with the smallest load, and for a key
  to the request that waits the longest.
- At most `max_waiting` requests wait: half of them of one organization, a quarter of one key. In a full queue,
  a request of an organization with few waiting requests replaces the newest of the organization with the most.
- A request that would wait longer than `max_wait_s` is refused at once, instead of after that time. The first
  waiting request of its key tells: so long for so many before it.
- A request that has held its slot for LONG_S gives the slot to the next, and runs on *aside*. So short requests do
  not wait behind long ones. At most `aside` requests run aside: all but one of one organization, half of one key.
  What is long beyond these maximums keeps its slot.

The load is the average number of requests that ran, with a slot or aside, over about the last LOAD_S. It decides
whose request is next. For the standing of a request, a newcomer's load counts as one slot: it is not known yet
whether its requests are light, and the priority of a running statement cannot change.

Memory: a key takes SHARE_BYTES, with its organization, and a request that waits PLACE_BYTES; so 3 MB for MAX_IDLE
keys that are remembered, and 2 MB for 256 requests of as many keys.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

from apimetry.serving.errors import Unavailable

LOAD_S = 30.0
LONG_S = 0.25
# An asker without a load is forgotten this long after its last request.
_REMEMBERED_S = 60.0
# Keys that are remembered for their load alone: beyond it the one that was here the longest ago is forgotten.
MAX_IDLE = 1000
SHARE_BYTES = 3_000
PLACE_BYTES = 4_000
_NO_LOAD = 0.01
_UNKNOWN_LOAD = 1.0
# Fewer requests before another one do not tell how long one takes.
_LEAST_AHEAD = 4
_LEAST_RETRY_S = 2
_MOST_RETRY_S = 60


class Refusal(str, Enum):
    """Why a request got no slot."""

    key = "key_queue_full"
    organization = "organization_queue_full"
    total = "queue_full"
    time = "waited_too_long"


@dataclass(frozen=True)
class Asker:
    """The ids of an organization and of one of its keys."""

    organization: str
    key: str


@dataclass(frozen=True)
class Standing:
    """A request beside others at the time of its slot: an asker with a smaller load has a lower `rank`."""

    rank: int
    """From 0. The organization's load decides, between equal loads the key's."""

    is_heavier: bool
    """Whether another asker has less than half of its load."""


@dataclass(eq=False)
class _Place:
    """A request in the queue; `granted` gets its standing, or an Unavailable if another request replaced it."""

    asker: Asker
    since: float
    granted: asyncio.Future[Standing]
    ahead: int
    """The waiting requests of its key when it came."""

    began: float | None = None
    is_aside: bool = False


@dataclass(eq=False)
class _Share:
    """The slots, the requests aside, the load and the waiting requests of one organization, or of one key."""

    at: float
    seen: float
    made: float
    load: float = 0.0
    running: int = 0
    aside: int = 0
    waiting: deque[_Place] = field(default_factory=deque)
    keys: dict[str, _Share] = field(default_factory=dict)

    def advance(self, now: float) -> None:
        """Bring the load up to `now`."""
        decay = math.exp(-max(0.0, now - self.at) / LOAD_S)
        self.load = self.load * decay + (self.running + self.aside) * (1 - decay)
        self.at = now

    @property
    def assumed(self) -> float:
        """Return the load; for a newcomer at least _UNKNOWN_LOAD."""
        return self.load if self.at - self.made >= LOAD_S else max(self.load, _UNKNOWN_LOAD)

    @property
    def level(self) -> int:
        """Return the assumed load in powers of two; 0 is less than a sixteenth of a slot."""
        return int(self.assumed * 16).bit_length()

    def is_heavier_than_one_of(self, shares: Mapping[str, _Share]) -> bool:
        """Return whether one of `shares` has less than half of this one's load."""
        return any(2 * share.assumed < self.assumed for share in shares.values() if share is not self)

    @property
    def is_idle(self) -> bool:
        is_long_ago = self.at - self.seen > _REMEMBERED_S
        return self.is_quiet and is_long_ago and self.load < _NO_LOAD

    @property
    def is_quiet(self) -> bool:
        """Return whether no request runs or waits."""
        return not self.running and not self.aside and not self.waiting


class FairQueue:
    """Gives slots to askers. Only one event loop may use it.

    Args:
        slots: requests that run at once, beside those aside.
        max_waiting: requests that wait for a slot.
        max_wait_s: time that a request may wait.
        aside: long requests that run at once without a slot.
        clock: returns seconds, from any beginning.
    """

    def __init__(
        self,
        slots: int,
        *,
        max_waiting: int,
        max_wait_s: float,
        aside: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._organization_slots = max(1, slots - 1)
        self._key_slots = max(1, slots // 2)
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._aside = aside
        # In the order in which they began.
        self._holding: list[_Place] = []
        self._clock = clock
        self._organizations: dict[str, _Share] = {}
        self.waiting = 0
        self.running = 0
        self.aside = 0
        self.refused: Counter[Refusal] = Counter()
        self.left = 0
        """Requests whose client left before the response; the code that waits for a request counts it."""

    @asynccontextmanager
    async def slot(self, asker: Asker) -> AsyncIterator[Standing]:
        """Hold a slot within the block. A request that is cancelled while it waits leaves the queue.

        Raises:
            Unavailable: too many requests wait, or no slot was free in time.
        """
        place = self._enter(asker)
        try:
            await self._wait(place)
            yield place.granted.result()
        finally:
            self._leave(place)

    async def _wait(self, place: _Place) -> None:
        """Wait until the place is granted; what becomes long meanwhile goes aside."""
        left_s = self._max_wait_s
        while not place.granted.done():
            if left_s <= 0:
                raise self._refusal(Refusal.time, place.asker)
            await asyncio.wait([place.granted], timeout=min(left_s, LONG_S))
            left_s -= LONG_S
            self._grant()

    def _enter(self, asker: Asker) -> _Place:
        now = self._clock()
        self._advance(now)
        self._set_long_aside()
        organization, key = self._shares(asker, now)
        organization.seen = key.seen = now
        place = _Place(asker, now, asyncio.get_running_loop().create_future(), len(key.waiting))
        # A request that may begin at once needs no room in the queue.
        if not self._may_begin(organization, key):
            self._check_room(asker, organization, key)
        organization.waiting.append(place)
        key.waiting.append(place)
        self.waiting += 1
        self._grant()
        return place

    def _leave(self, place: _Place) -> None:
        now = self._clock()
        self._advance(now)
        organization, key = self._shares(place.asker, now)
        organization.seen = key.seen = now
        if place.is_aside:
            self.aside -= 1
            organization.aside -= 1
            key.aside -= 1
        elif place.began is not None:
            self._holding.remove(place)
            self.running -= 1
            organization.running -= 1
            key.running -= 1
        elif place in key.waiting:
            self._take(place, organization, key)
        self._grant()
        self._forget_idle()

    def _grant(self) -> None:
        self._set_long_aside()
        while first := min(self._next(), key=lambda candidate: candidate[:3], default=None):
            *_, organization, key = first
            place = key.waiting[0]
            self._take(place, organization, key)
            self.running += 1
            organization.running += 1
            key.running += 1
            place.began = self._clock()
            self._holding.append(place)
            place.granted.set_result(self._standing(organization, key))

    def _set_long_aside(self) -> None:
        now = self._clock()
        for place in [*self._holding]:
            organization, key = self._shares(place.asker, now)
            is_long = place.began is not None and now - place.began >= LONG_S
            if is_long and self._may_go_aside(organization, key):
                place.is_aside = True
                self._holding.remove(place)
                for share in (self, organization, key):
                    share.running -= 1
                    share.aside += 1

    def _may_go_aside(self, organization: _Share, key: _Share) -> bool:
        return (
            self.aside < self._aside
            and organization.aside < max(1, self._aside - 1)
            and key.aside < max(1, self._aside // 2)
        )

    def _next(self) -> Iterator[tuple[float, float, float, _Share, _Share]]:
        """Yield the shares of each asker that may begin, after the three values that decide which one begins."""
        for organization in self._organizations.values():
            for key in organization.keys.values() if organization.waiting else ():
                if key.waiting and self._may_begin(organization, key):
                    yield organization.load, key.load, key.waiting[0].since, organization, key

    def _may_begin(self, organization: _Share, key: _Share) -> bool:
        part = 2 if self._is_heavier(organization, key) else 1
        return (
            self.running < self._slots
            # Rounded up: with four slots, another key of a heavy organization still gets one.
            and organization.running < -(-self._organization_slots // part)
            and key.running < max(1, self._key_slots // part)
        )

    def _is_heavier(self, organization: _Share, key: _Share) -> bool:
        return organization.is_heavier_than_one_of(self._organizations) or key.is_heavier_than_one_of(
            organization.keys
        )

    def _check_room(self, asker: Asker, organization: _Share, key: _Share) -> None:
        """Raise Unavailable if the queue has no room for the asker. May remove a request of another organization."""
        if self._expected_wait_s(key) > self._max_wait_s:
            raise self._refusal(Refusal.time, asker)
        if len(key.waiting) >= max(1, self._max_waiting // 4):
            raise self._refusal(Refusal.key, asker)
        if len(organization.waiting) >= max(1, self._max_waiting // 2):
            raise self._refusal(Refusal.organization, asker)
        if self.waiting < self._max_waiting:
            return
        fullest = max(self._organizations.values(), key=lambda share: len(share.waiting))
        if len(fullest.waiting) <= len(organization.waiting) + 1:
            raise self._refusal(Refusal.total, asker)
        newest = fullest.waiting[-1]
        newest.granted.set_exception(self._refusal(Refusal.total, newest.asker))
        # Its exception is read here: the task that waits for it may have been cancelled in this moment.
        newest.granted.exception()
        self._take(newest, fullest, fullest.keys[newest.asker.key])

    def _expected_wait_s(self, key: _Share) -> float:
        """Return how long one more request of a key would wait; 0 if that is not known."""
        if not key.waiting or key.waiting[0].ahead < _LEAST_AHEAD:
            return 0.0
        first = key.waiting[0]
        return (self._clock() - first.since) / first.ahead * len(key.waiting)

    def _take(self, place: _Place, organization: _Share, key: _Share) -> None:
        organization.waiting.remove(place)
        key.waiting.remove(place)
        self.waiting -= 1

    def _standing(self, organization: _Share, key: _Share) -> Standing:
        return Standing(organization.level * 16 + min(key.level, 15), self._is_heavier(organization, key))

    def _refusal(self, reason: Refusal, asker: Asker) -> Unavailable:
        self.refused[reason] += 1
        _, key = self._shares(asker, self._clock())
        # The longest wait is the best estimate of a wait from now on.
        waited_s = self._clock() - key.waiting[0].since if key.waiting else 0.0
        retry_s = min(max(waited_s, _LEAST_RETRY_S), _MOST_RETRY_S)
        messages = {
            Refusal.key: f"{len(key.waiting)} requests of this key are waiting already, as many as are allowed",
            Refusal.organization: "As many requests of this organization are waiting already as are allowed",
            Refusal.total: f"{self.waiting} requests are waiting already, as many as are allowed",
            Refusal.time: f"No slot was free for this request within {self._max_wait_s:g} s, or none would be",
        }
        return Unavailable(messages[reason], retry_after_s=retry_s)

    def _shares(self, asker: Asker, now: float) -> tuple[_Share, _Share]:
        organization = self._organizations.setdefault(asker.organization, _Share(now, now, now))
        return organization, organization.keys.setdefault(asker.key, _Share(now, now, now))

    def _advance(self, now: float) -> None:
        """Bring all loads up to `now`, and forget idle askers."""
        for name, organization in [*self._organizations.items()]:
            organization.advance(now)
            for key_id, key in [*organization.keys.items()]:
                key.advance(now)
                if key.is_idle:
                    del organization.keys[key_id]
            if organization.is_idle:
                del self._organizations[name]

    def _forget_idle(self) -> None:
        """Hold what is remembered to MAX_IDLE keys: somebody may make keys without end, and ask once with each."""
        idle = [
            (key.seen, name, key_id)
            for name, organization in self._organizations.items()
            for key_id, key in organization.keys.items()
            if key.is_quiet
        ]
        if len(idle) > MAX_IDLE:
            _, name, key_id = min(idle)
            organization = self._organizations[name]
            del organization.keys[key_id]
            if not organization.keys:
                del self._organizations[name]
