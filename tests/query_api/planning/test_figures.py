"""Figures are rounded half up, from whole numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.planning.figures import Measures, formatted_bytes, percent, plain, rounded, scaled
from apimetry.query_api.usage.error_types import ERROR_TYPES, error_type
from tests.support.oracles.query_usage import half_up, type_of


@pytest.mark.parametrize(
    ("numerator", "denominator", "digits", "expected"),
    [
        (15420, 1440, 1, 10.7),
        (6425, 100, 2, 64.25),
        (1542, 10, 1, 154.2),
        (125_000_000, 15420, 0, 8106),
        (1, 20, 1, 0.1),
        (3, 20, 1, 0.2),
        (5, 2, 0, 3),
        (1, 3, 1, 0.3),
        (999_999_999_999_999_995, 10**18, 2, 1.0),
        (0, 5, 1, 0),
        (5, 0, 1, 0),
        (0, 0, 1, 0),
    ],
)
def test_rounding(numerator, denominator, digits, expected):
    assert rounded(numerator, denominator, digits) == expected


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**12), st.integers(0, 3))
def test_a_half_goes_up_and_nothing_else_moves_by_more_than_a_half(numerator, denominator, digits):
    exact = Fraction(numerator, denominator) * 10**digits
    value = scaled(numerator, denominator, 10**digits)
    assert -Fraction(1, 2) <= exact - value < Fraction(1, 2)


@given(st.integers(0, 10**12), st.integers(1, 10**12), st.integers(0, 3))
def test_rounding_is_that_of_decimal_arithmetic(numerator, denominator, digits):
    assert rounded(numerator, denominator, digits) == half_up(Fraction(numerator, denominator), digits)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(14200, 15420, 92.1), (1220, 15420, 7.9), (45230, 1_000_000, 4.5), (1, 1000, 0.1), (1, 2001, 0.0), (3, 0, 0)],
)
def test_shares(part, whole, expected):
    assert percent(part, whole) == expected


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KB"),
        (1075, "1 KB"),
        (1076, "1.1 KB"),
        (52_428_800, "50 MB"),
        (1_610_612_736, "1.5 GB"),
        (1024**2 - 1, "1 MB"),
        (1024**4, "1 TB"),
        (1024**4 * 2048, "2048 TB"),
    ],
)
def test_sizes_in_steps_of_1024(size, text):
    assert formatted_bytes(size) == text


@pytest.mark.parametrize(("value", "text"), [(154.2, "154.2"), (64.25, "64.25"), (80.0, "80"), (1e7, "10000000")])
def test_figures_in_sentences(value, text):
    assert plain(value) == text


def test_times_are_written_in_whole_seconds_with_a_z():
    assert iso_time(1_705_765_500) == "2024-01-20T15:45:00Z"


def test_nothing_succeeded_and_nothing_failed_without_requests():
    assert (Measures().success_rate, Measures().error_rate, Measures().mean_ms) == (100, 0, 0)


def test_a_mean_of_latencies_is_rounded_once_at_its_end():
    assert Measures(requests=3, timed=3, latency_us=100_049 * 3).mean_ms == 100.0
    assert Measures(requests=9, timed=3, latency_us=100_050 * 3).mean_ms == 100.1
    assert Measures(requests=9).mean_ms == 0
    assert Measures(peak_us=1_249_950).peak_ms == 1250.0


def test_every_status_from_400_on_has_one_documented_type():
    for status in range(400, 1000):
        assert error_type(status).name == type_of(status)
        assert error_type(status) in ERROR_TYPES
    assert len({error_type.name for error_type in ERROR_TYPES}) == len(ERROR_TYPES)
