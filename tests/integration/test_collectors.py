"""Collectors behind a balancer: each batch counts once, whichever of them takes it, takes it again, or is killed."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tests.support.oracles.fleet import Fleet, with_haproxy, with_nginx

SEED = 7


@contextmanager
def fleet_of(kind, folder, url, point, **options):
    """Collectors under load behind a balancer; the first of them has killed itself at a labelled point."""
    fleet = Fleet(kind, folder, url, seed=SEED, **options)
    try:
        fleet.begin(point)
        assert fleet.collectors[0].wait_for_death(300)
        yield fleet
    finally:
        fleet.close()


@with_haproxy
@pytest.mark.timeout(900)
def test_batches_of_two_collectors_behind_haproxy_count_once_though_each_is_killed(clickhouse_url, tmp_path):
    """With the example as it is: what a dead collector took goes to the other one at once."""
    first_dies = "after_fsync:3"  # with batches that it took, and whose answers were never sent
    with fleet_of("haproxy", tmp_path, clickhouse_url, first_dies, collectors=2) as fleet:
        first, second = fleet.collectors
        fleet.return_late(first)
        fleet.wait_for_more()
        second.kill()
        fleet.return_late(second)
        fleet.restart_one_after_the_other()
        fleet.wait_for_more()
        fleet.settle()
        events, shared = fleet.check()
    assert events
    assert fleet.load.counts["refused"] + fleet.load.counts["cut"]
    assert shared, "no batch was held by both: the run proves nothing"


@with_nginx
@pytest.mark.timeout(900)
def test_batches_that_senders_give_to_one_collector_after_another_count_once(clickhouse_url, tmp_path):
    """Senders hang up and send again, no batch goes by its id, and a collector dies while it agrees with others."""
    options = {"collectors": 4, "is_keyed": False, "give_up": 0.05}
    with fleet_of("nginx", tmp_path, clickhouse_url, "after_hold:3", **options) as fleet:
        fleet.return_late(fleet.collectors[0])
        fleet.wait_for_more(300)
        fleet.kill_the_balancer()
        fleet.wait_for_more(300)
        fleet.settle()
        events, shared = fleet.check()
    assert events
    assert fleet.load.counts["given up"]
    assert shared, "no batch was held by two: the run proves nothing"
