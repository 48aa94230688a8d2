"""Define the store's exceptions, and decide which calls a caller may retry.

    StoreError
    ├── StoreUnavailable    away, overloaded or full: the same call may succeed later
    ├── StoreRejected       the store will never accept the data or the statement
    ├── QueryLimitExceeded  a query hit its limit of time, memory or rows
    ├── StoreLocked         another process owns the embedded store
    ├── SchemaError         the tables are not what this version needs
    └── AccountError        a change of accounts that cannot be made
        ├── RecordNotFound
        ├── AccountConflict
        ├── AccountInvalid
        └── PlanLimitExceeded

This module maps foreign exceptions by ClickHouse's error code. A mapped message has the code and its symbolic name,
never the server's text: that text quotes statements and values.
"""

from __future__ import annotations

import re
from typing import Final

from clickhouse_connect.driver import exceptions as foreign
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError


class StoreError(Exception):
    """The base of the store's exceptions; `code` is ClickHouse's error code, or None."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class StoreUnavailable(StoreError, ConnectionError):
    """The store is away, overloaded, read-only or full; the same call may succeed later.

    `was_sent` is False where the statement certainly did not reach the store.
    """

    was_sent: bool = True


class StoreRejected(StoreError, ValueError):
    """The store will never accept the data or the statement; a retry changes nothing."""


class QueryLimitExceeded(StoreError):
    """A query exceeded its limit of time, memory or rows."""


class StoreLocked(StoreError):
    """Another process, or another store in this process, owns the embedded store."""


class SchemaError(StoreError):
    """The tables are not what this version needs; the message says what to do."""


class AccountError(StoreError):
    """A change of accounts that cannot be made."""


class RecordNotFound(AccountError, LookupError):
    """No such organization, application or key."""


class AccountConflict(AccountError):
    """The record exists already, or its state does not allow the change."""


class AccountInvalid(AccountError, ValueError):
    """A value is not allowed; the message names the value and the allowed values."""


class PlanLimitExceeded(AccountError):
    """The organization's plan does not allow more."""


# From ClickHouse's src/Common/ErrorCodes.cpp: the errors that only an insert's own bytes can cause. After any other
# error the data waits for a retry, because a missing table or a full disk must never quarantine events.
_DATA_CODES: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        43,  # ILLEGAL_TYPE_OF_ARGUMENT
        44,  # ILLEGAL_COLUMN
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT: a check that an operator added to the table
    }
)
_QUERY_WAS_CANCELLED: Final = 394
_CLUSTER_DOESNT_EXIST: Final = 701
_LIMIT_CODES: Final = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        241,  # MEMORY_LIMIT_EXCEEDED
        290,  # LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)
_TRANSIENT_CODES: Final = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        23,  # CANNOT_READ_FROM_ISTREAM
        24,  # CANNOT_WRITE_TO_OSTREAM
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        77,  # CANNOT_CLOSE_FILE
        95,  # CANNOT_READ_FROM_SOCKET
        96,  # CANNOT_WRITE_TO_SOCKET
        164,  # READONLY
        173,  # CANNOT_ALLOCATE_MEMORY
        198,  # DNS_ERROR
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        204,  # CANNOT_FSYNC
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        244,  # UNEXPECTED_ZOOKEEPER_ERROR
        252,  # TOO_MANY_PARTS
        254,  # NO_ACTIVE_REPLICAS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        289,  # REPLICA_IS_NOT_IN_QUORUM
        319,  # UNKNOWN_STATUS_OF_INSERT
        369,  # ALL_REPLICAS_ARE_STALE
        _QUERY_WAS_CANCELLED,
        410,  # CANNOT_CREATE_IO_BUFFER
        415,  # ALL_REPLICAS_LOST
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        499,  # S3_ERROR
        516,  # AUTHENTICATION_FAILED: a password being rotated
        999,  # KEEPER_EXCEPTION
    }
)
_HTTP_STATUS = re.compile(r"HTTP status (\d{3})")


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later; no other function decides on retries."""
    return isinstance(error, StoreUnavailable)


def may_go_on(error: StoreUnavailable, *, repeats: bool) -> bool:
    """Return whether a call that failed at one host may be made at the next.

    `repeats` says that the statement may run twice. A query that was ended is not begun again.
    """
    return error.code != _QUERY_WAS_CANCELLED and (repeats or not error.was_sent)


def map_error(error: Exception, *, inserting: bool) -> StoreError:
    """Return the store's exception for an exception of clickhouse-connect, urllib3 or the system.

    `inserting` means that the call sent rows: then every error except faulty bytes is transient. For a query the
    function distinguishes an exceeded limit, a faulty statement and a store that is away.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, UnicodeError):
        return StoreRejected("a value is not valid Unicode")
    if isinstance(error, (OSError, HTTPError)):
        return StoreUnavailable(f"ClickHouse cannot be reached ({type(error).__name__})")
    if isinstance(error, foreign.Error):
        return _map_driver_error(error, inserting=inserting)
    return StoreRejected(f"clickhouse-connect refused the call ({type(error).__name__})")


def _map_driver_error(error: foreign.Error, *, inserting: bool) -> StoreError:
    code = error.code
    if code is None:
        return _map_without_code(error)
    message = f"ClickHouse answered {error.name or 'an error'} (code {code})"
    if code == _CLUSTER_DOESNT_EXIST:
        return SchemaError(
            "ClickHouse knows no cluster of this name: name one of system.clusters with --cluster (APIMETRY_CLUSTER)",
            code=code,
        )
    if inserting:
        kind: type[StoreError] = StoreRejected if code in _DATA_CODES else StoreUnavailable
    elif code in _LIMIT_CODES:
        kind = QueryLimitExceeded
    else:
        kind = StoreUnavailable if code in _TRANSIENT_CODES else StoreRejected
    return kind(message, code=code)


def _map_without_code(error: foreign.Error) -> StoreError:
    status = _HTTP_STATUS.search(str(error))
    if status is not None:
        number = int(status.group(1))
        transient = number >= 500 or number in (401, 403, 404, 408, 429)
        kind: type[StoreError] = StoreUnavailable if transient else StoreRejected
        return kind(f"ClickHouse's address answered HTTP status {number} without an error of ClickHouse")
    if isinstance(error, foreign.OperationalError):
        unavailable = StoreUnavailable("ClickHouse cannot be reached, or the connection broke")
        # clickhouse-connect and urllib3 wrap the error of the connection.
        reason = getattr(error.__cause__, "reason", error.__cause__)
        unavailable.was_sent = not isinstance(reason, (NewConnectionError, ConnectTimeoutError))
        return unavailable
    return StoreRejected(f"clickhouse-connect refused the call ({type(error).__name__})")
