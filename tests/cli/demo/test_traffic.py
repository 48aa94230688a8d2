"""The demo's traffic: what it promises to show is in it."""

from __future__ import annotations

from collections import Counter

from apimetry.cli.demo.history import event_of, past_events
from apimetry.cli.demo.traffic import CHECKOUT, ENDPOINTS, INCIDENT_AFTER_S, NOISY_CONSUMER, Schedule, Traffic

HOUR_S = 3600.0
SCHEDULE = Schedule(
    "1.0", "2.0", deploy_s=HOUR_S, incident_ends_s=2 * HOUR_S, noise_starts_s=3 * HOUR_S, noise_ends_s=4 * HOUR_S
)


def requests(start_s, end_s, per_second=2.0):
    traffic = Traffic(SCHEDULE, 1)
    return [traffic.request_at(time_s) for time_s in traffic.times(start_s, end_s, per_second)]


def failed_checkouts(traffic):
    checkouts = [request for request in traffic if request.endpoint is CHECKOUT]
    return sum(request.error_type == "UpstreamError" for request in checkouts) / len(checkouts)


def test_checkouts_fail_between_the_deploy_and_the_end_of_the_incident_alone():
    assert failed_checkouts(requests(0, HOUR_S + INCIDENT_AFTER_S)) == 0
    assert 0.2 < failed_checkouts(requests(HOUR_S + INCIDENT_AFTER_S, 2 * HOUR_S)) < 0.4
    assert failed_checkouts(requests(2 * HOUR_S, 3 * HOUR_S)) == 0


def test_one_consumer_makes_most_of_the_noise():
    def shares(traffic):
        return Counter(request.consumer for request in traffic)[NOISY_CONSUMER] / len(traffic)

    assert shares(requests(2 * HOUR_S, 3 * HOUR_S)) < 0.1
    assert shares(requests(3 * HOUR_S, 4 * HOUR_S)) > 0.6


def test_every_endpoint_is_asked_and_paths_fill_their_templates():
    traffic = requests(0, HOUR_S)
    assert {request.endpoint for request in traffic} == set(ENDPOINTS)
    assert not [request.path for request in traffic if "{" in request.path]
    assert all(request.path.startswith("/") and request.duration_ms > 0 for request in traffic)


def test_moments_ascend_within_their_range_at_about_the_rate():
    times = list(Traffic(SCHEDULE, 3).times(0, 3 * HOUR_S, 1.0))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 3 * HOUR_S
    # At night there is less than on the mean of the day, for which the rate stands.
    assert 0.2 < len(times) / (3 * HOUR_S) < 1.0


def test_the_same_seed_makes_the_same_traffic():
    assert requests(0, 600) == requests(0, 600)


def test_the_shop_changes_its_version_at_the_deploy_and_the_others_keep_theirs():
    events = list(past_events(Traffic(SCHEDULE, 1), SCHEDULE, 0, 2 * HOUR_S, 1.0))
    versions = {(event["source"], event["version"]) for event in events}
    assert versions == {("shop", "1.0"), ("shop", "2.0"), ("catalog", "1.8.0"), ("accounts", "1.8.0")}
    assert all(
        (event["version"] == "2.0") == (event["timestamp"] >= HOUR_S) for event in events if event["source"] == "shop"
    )


def test_an_event_says_what_the_request_was():
    (request, *_) = requests(0, 60)
    event = event_of(request, 12.5, "1.0")
    assert (event["timestamp"], event["method"], event["route"]) == (
        12.5,
        request.endpoint.method,
        request.endpoint.route,
    )
    assert (event["url"], event["status_code"]) == (request.path, request.status)
    assert event["response_us"] == int(request.duration_ms * 1000)
