"""Keep room on the disk of an embedded store, where the operator named how much."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timezone

from apimetry.store.client import Store
from apimetry.store.disk_room import drop_oldest_week, free_bytes
from apimetry.store.errors import StoreError

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0


async def keep_room(
    store: Store, below_bytes: int, *, free: Callable[[Store], int] = free_bytes, interval_s: float = INTERVAL_S
) -> None:
    """Drop the oldest week of events each `interval_s` in which less than `below_bytes` are free; 0 drops nothing."""
    warned = False
    while below_bytes:
        try:
            warned = await store.run(_keep_room, store, below_bytes, free, warned)
        except StoreError as error:
            logger.warning("whether the disk has room is not known: %s", error)
        await asyncio.sleep(interval_s)


def _keep_room(store: Store, below_bytes: int, free: Callable[[Store], int], warned: bool) -> bool:
    """Drop one week if it is due; return whether it is known that no week can go."""
    free_now = free(store)
    if free_now >= below_bytes:
        return False
    week = drop_oldest_week(store, datetime.now(timezone.utc).date())
    if week is not None:
        logger.warning("%d bytes of the disk are free: dropped the events of the week from %s", free_now, week)
        return False
    if not warned:
        logger.error("%d bytes of the disk are free, and only the events of the last days are left", free_now)
    return True
