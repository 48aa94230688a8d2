from __future__ import annotations

import pytest

from apimetry.query_api.http.listing import DEFAULT_PAGE, MAX_OFFSET, MAX_PAGE, page_of
from apimetry.serving.errors import BadRequest

ROWS = list(range(250))


def test_a_page_has_the_asked_rows_and_says_what_else_there_is():
    assert page_of([("limit", "2"), ("offset", "3")], ROWS, "keys") == {
        "keys": [3, 4],
        "pagination": {"total": 250, "limit": 2, "offset": 3, "hasMore": True},
    }


@pytest.mark.parametrize("parameters", [[], [("limit", "")], [("application", "shop"), ("_", "1")]])
def test_without_parameters_of_its_own_a_list_has_its_first_page(parameters):
    assert page_of(parameters, ROWS, "keys")["keys"] == ROWS[:DEFAULT_PAGE]


def test_the_largest_numbers_are_allowed():
    assert page_of([("limit", str(MAX_PAGE)), ("offset", str(MAX_OFFSET))], ROWS, "keys")["keys"] == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([("limit", "5"), ("limit", "9")], "limit is '5, 9'; allowed: one value"),
        ([("offset", "5"), ("offset", "9")], "offset is '5, 9'; allowed: one value"),
        ([("limit", "0")], "limit is '0'; allowed: a whole number, 1 to 1000"),
        ([("limit", "1001")], "limit is '1001'; allowed: a whole number, 1 to 1000"),
        ([("limit", "५")], "limit is '५'; allowed: a whole number, 1 to 1000"),
        ([("offset", "-1")], "offset is '-1'; allowed: a whole number, 0 to 9223372036854775807"),
        ([("offset", str(MAX_OFFSET + 1))], "offset is '9223372036854775808'; allowed: a whole number"),
        ([("page", "2")], "a parameter's name is 'page'; allowed: limit, offset, application"),
    ],
)
def test_a_list_refuses_its_parameters_as_every_query_does(parameters, message):
    with pytest.raises(BadRequest) as refused:
        page_of(parameters, ROWS, "keys")
    assert message in refused.value.message
