"""The name of the software behind a User-Agent text, and what it costs to find it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.collector.formats.event_structs import STRING_LIMITS
from apimetry.collector.formats.user_agents import (
    MAX_CHARACTERS,
    MAX_TEXTS,
    RULES_BURST_S,
    RULES_SHARE,
    TEXT_BYTES,
    UserAgents,
)

LIMIT = STRING_LIMITS["user_agent"]
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"


class Ticks:
    """A clock that goes on by `step_s` each time that it is read."""

    def __init__(self, step_s):
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self):
        self.now_s += self.step_s
        return self.now_s


def named(text):
    (name,) = UserAgents(Ticks(0)).families((text,))
    return name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CHROME, "Chrome"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox"),
        ("curl/8.4.0", "curl"),
        ("python-requests/2.31.0", "Python Requests"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        # Nobody's rules know these: they say themselves who they are.
        ("python-httpx/0.27.0", "python-httpx"),
        ("kube-probe/1.27", "kube-probe"),
        ("GuzzleHttp/7", "GuzzleHttp"),
        ("Ruby", "Ruby"),
        ("acme-shop (internal)", "acme-shop"),
        ("Mozilla/5.0", "Other"),
        ("-", "Other"),
        ("日本語/1", "Other"),
        ("x" * 512, "Other"),
        ("\x00\x1b[2J", "Other"),
        ("/", "Other"),
    ],
)
def test_a_text_is_named_without_its_version(text, name):
    assert named(text) == name


def test_a_column_is_named_text_by_text_and_an_empty_text_has_an_empty_name():
    agents = UserAgents()
    assert list(agents.families(("", "curl/8.4.0", "", CHROME))) == ["", "curl", "", "Chrome"]
    assert list(agents.families(("", "", ""))) == ["", "", ""]
    assert list(agents.families(())) == []


@given(st.text(min_size=1, max_size=LIMIT))
def test_every_text_has_a_short_name(text):
    assert 0 < len(named(text)) <= MAX_CHARACTERS


def test_a_text_that_was_seen_lately_is_not_looked_for_again():
    clock = Ticks(0.0001)
    agents = UserAgents(clock)
    agents.families([f"curl/{number}" for number in range(MAX_TEXTS // 2)])
    read = clock.now_s
    assert set(agents.families([f"curl/{number}" for number in range(MAX_TEXTS // 2)])) == {"curl"}
    assert clock.now_s == read


def test_what_is_remembered_is_bounded():
    agents = UserAgents(Ticks(0))
    agents.families([f"{number}/" + "😀" * (LIMIT - 10) for number in range(2 * MAX_TEXTS)])
    assert MAX_TEXTS // 2 <= len(agents._young) + len(agents._old) <= MAX_TEXTS
    assert TEXT_BYTES >= 4 * LIMIT


def test_slow_texts_without_end_get_a_tenth_of_a_core_and_the_rest_are_named_by_themselves():
    clock = Ticks(0.005)
    agents = UserAgents(clock)
    names = agents.families([f"curl-{number}/8 curl/8.4.0" for number in range(2000)])
    by_rules = names.count("curl")
    assert RULES_BURST_S < 0.005 * by_rules < RULES_BURST_S + RULES_SHARE * clock.now_s + 0.01
    assert {name for name in names if name != "curl"} <= {f"curl-{number}" for number in range(2000)}
    # What was not looked for is not remembered: later it gets its name.
    clock.now_s += 60
    assert agents.families(["curl-1999/8 curl/8.4.0"]) == ["curl"]


def test_threads_that_come_first_find_the_same():
    agents, families, gate = UserAgents(), [], threading.Barrier(4)

    def find(number):
        gate.wait(10)
        families.extend(agents.families([f"curl/8.4.{number}"]))

    threads = [threading.Thread(target=find, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert families == ["curl"] * 4
