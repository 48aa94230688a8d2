"""The kinds of errors, by status (docs/api.md, "Developer usage API"). Pure."""

from __future__ import annotations

from typing import NamedTuple


class ErrorType(NamedTuple):
    """A kind of error, and its description for people."""

    name: str
    description: str


_TIMEOUT = ErrorType("timeout", "Request timed out")
_SERVER_ERROR = ErrorType("server_error", "Internal server error")
_CLIENT_ERROR = ErrorType("client_error", "Other client error")
_BY_STATUS = {
    400: ErrorType("bad_request", "Bad request"),
    401: ErrorType("unauthorized", "Missing or invalid credentials"),
    403: ErrorType("forbidden", "Access denied"),
    404: ErrorType("not_found", "Resource not found"),
    405: ErrorType("method_not_allowed", "Method not allowed"),
    408: _TIMEOUT,
    413: ErrorType("payload_too_large", "Request body too large"),
    422: ErrorType("validation_error", "Validation failed"),
    429: ErrorType("rate_limit_exceeded", "Rate limit exceeded"),
    499: ErrorType("client_closed", "Client closed the connection"),
    504: _TIMEOUT,
}
ERROR_TYPES = tuple(dict.fromkeys([*_BY_STATUS.values(), _CLIENT_ERROR, _SERVER_ERROR]))


def error_type(status_code: int) -> ErrorType:
    """Return the type of a status from 400 on. Statuses over 599 count as the server's errors."""
    return _BY_STATUS.get(status_code) or (_SERVER_ERROR if status_code >= 500 else _CLIENT_ERROR)
