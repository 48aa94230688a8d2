"""An origin that no browser sends is reported with a suggestion."""

from __future__ import annotations

import pytest

from apimetry.cli.origins import origins_in, unmatchable


@pytest.mark.parametrize(
    ("origin", "suggestion"),
    [
        ("foo", "https://foo"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example/path?x", "https://a.example"),
        ("HTTPS://A.example", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://*.example.com", "https://app.example.com"),
        ("http://[", "https://app.example.com"),
    ],
)
def test_an_invalid_origin_is_reported_with_a_suggestion(origin, suggestion):
    (sentence,) = unmatchable(f"https://good.example,{origin}")
    assert f"{origin!r} is not an origin" in sentence
    assert f"did you mean {suggestion}?" in sentence


@pytest.mark.parametrize(
    "setting",
    [
        "*",
        "null",
        "http://localhost:3000",
        "https://[::1]:8443",
        "chrome-extension://abcdef",
        " https://a.example , *",
    ],
)
def test_a_valid_origin_is_not_reported(setting):
    assert list(unmatchable(setting)) == []
    assert origins_in(setting)
