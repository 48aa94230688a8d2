"""What the store refuses to do with records, as answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apimetry.serving.errors import BadRequest, Conflict, Forbidden, NotFound
from apimetry.store.errors import AccountConflict, AccountInvalid, AccountNotFound, PlanLimitExceeded


@contextmanager
def refusals_answered() -> Iterator[None]:
    """Turn the store's refusals into the errors that clients are told about."""
    try:
        yield
    except AccountNotFound as error:
        raise NotFound(_sentence(error)) from error
    except AccountConflict as error:
        raise Conflict(_sentence(error)) from error
    except PlanLimitExceeded as error:
        raise Forbidden(_sentence(error)) from error
    except AccountInvalid as error:
        raise BadRequest(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    text = str(error)
    first = text.partition(" ")[0]
    # A member's name (camelCase, snake_case) stays as it is.
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text
