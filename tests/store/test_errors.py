"""Foreign exceptions become the store's own, by code, without the server's text."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver import exceptions as foreign
from urllib3.exceptions import ConnectTimeoutError, ProtocolError

from apimetry.store.errors import (
    QueryLimitExceeded,
    RecordNotFound,
    StoreError,
    StoreLocked,
    StoreRejected,
    StoreUnavailable,
    is_transient,
    map_error,
)

UNAVAILABLE, REJECTED, LIMITED = StoreUnavailable, StoreRejected, QueryLimitExceeded


@pytest.mark.parametrize(
    ("code", "on_insert", "on_query"),
    [
        (6, REJECTED, REJECTED),
        (44, REJECTED, REJECTED),
        (53, REJECTED, REJECTED),
        (117, REJECTED, REJECTED),
        (16, UNAVAILABLE, REJECTED),
        (47, UNAVAILABLE, REJECTED),
        (60, UNAVAILABLE, REJECTED),
        (62, UNAVAILABLE, REJECTED),
        (81, UNAVAILABLE, REJECTED),
        (497, UNAVAILABLE, REJECTED),
        (158, UNAVAILABLE, LIMITED),
        (159, UNAVAILABLE, LIMITED),
        (241, UNAVAILABLE, LIMITED),
        (396, UNAVAILABLE, LIMITED),
        (164, UNAVAILABLE, UNAVAILABLE),
        (202, UNAVAILABLE, UNAVAILABLE),
        (242, UNAVAILABLE, UNAVAILABLE),
        (243, UNAVAILABLE, UNAVAILABLE),
        (252, UNAVAILABLE, UNAVAILABLE),
        (319, UNAVAILABLE, UNAVAILABLE),
        (516, UNAVAILABLE, UNAVAILABLE),
        (999, UNAVAILABLE, UNAVAILABLE),
        (123_456, UNAVAILABLE, REJECTED),
    ],
)
def test_codes_are_mapped_and_kept(code: int, on_insert: type[StoreError], on_query: type[StoreError]):
    error = foreign.DatabaseError("Code: 1. DB::Exception: secret 'value'", code=code, name="SOME_NAME")
    for inserting, kind in ((True, on_insert), (False, on_query)):
        mapped = map_error(error, inserting=inserting)
        assert type(mapped) is kind
        assert mapped.code == code
        assert str(mapped) == f"ClickHouse answered SOME_NAME (code {code})"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (foreign.OperationalError("Error Connection aborted (http://user:secret@h)"), UNAVAILABLE),
        (foreign.StreamFailureError("secret"), UNAVAILABLE),
        (foreign.DatabaseError("HTTP driver received HTTP status 502, server response: secret"), UNAVAILABLE),
        (foreign.DatabaseError("HTTP driver received HTTP status 408"), UNAVAILABLE),
        (foreign.DatabaseError("HTTP driver received HTTP status 413"), REJECTED),
        (foreign.ProgrammingError("secret"), REJECTED),
        (ProtocolError("secret"), UNAVAILABLE),
        (ConnectTimeoutError("secret"), UNAVAILABLE),
        (OSError(28, "No space left on device"), UNAVAILABLE),
        (TimeoutError("secret"), UNAVAILABLE),
        ("\ud800".encode, REJECTED),
        (ValueError("secret"), REJECTED),
    ],
)
def test_what_has_no_code_is_mapped_by_its_kind(error: Exception, kind: type[StoreError]):
    if callable(error):
        with pytest.raises(UnicodeError) as caught:
            error()
        error = caught.value
    for inserting in (True, False):
        mapped = map_error(error, inserting=inserting)
        assert type(mapped) is kind
        assert "secret" not in str(mapped)


def test_our_own_errors_pass_unchanged():
    error = RecordNotFound("there is no application 'a'")
    assert map_error(error, inserting=False) is error


def test_only_what_is_unavailable_is_tried_again():
    assert is_transient(StoreUnavailable("x"))
    for error in (StoreRejected("x"), QueryLimitExceeded("x"), StoreLocked("x"), ConnectionError("x"), KeyError("x")):
        assert not is_transient(error)


def test_errors_are_the_fitting_builtins_too():
    assert issubclass(StoreUnavailable, ConnectionError)
    assert issubclass(StoreRejected, ValueError)
