"""Kept answers end by time, and stay within their bytes."""

from __future__ import annotations

from apimetry.query_api.kept_answers import MAX_KEPT_BYTES, KeptAnswers


def test_an_answer_is_kept_for_its_seconds():
    answers = KeptAnswers(30)
    answers.keep("a", b"1", 100.0)
    assert answers.of("a", 129.9) == b"1"
    assert answers.of("a", 130.0) is None
    assert answers.of("b", 100.0) is None


def test_a_clock_that_was_set_back_keeps_nothing_longer():
    answers = KeptAnswers(30)
    answers.keep("a", b"1", 100.0)
    assert answers.of("a", 99.0) is None


def test_the_oldest_answers_make_room():
    answers = KeptAnswers(30)
    for number in range(100):
        answers.keep(number, bytes(MAX_KEPT_BYTES // 10), 100.0 + number / 100)
    held = [number for number in range(100) if answers.of(number, 101.0)]
    assert held == list(range(91, 100))


def test_an_answer_over_the_bytes_is_not_kept():
    answers = KeptAnswers(30)
    answers.keep("small", b"1", 100.0)
    answers.keep("large", bytes(MAX_KEPT_BYTES), 100.0)
    assert answers.of("large", 100.0) is None
    assert answers.of("small", 100.0) == b"1"


def test_a_newer_answer_takes_the_place_of_the_older_one():
    answers = KeptAnswers(30)
    for number in range(1000):
        answers.keep("a", bytes(MAX_KEPT_BYTES // 2), 100.0 + number)
    answers.keep("b", bytes(1000), 1099.0)
    assert answers.of("a", 1099.0) is not None
    assert answers.of("b", 1099.0) is not None
