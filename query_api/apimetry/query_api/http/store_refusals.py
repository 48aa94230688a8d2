"""Check who owns a record of the store, and turn what the store refuses into HTTP errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from apimetry.serving.credentials import Access
from apimetry.serving.errors import BadRequest, Conflict, Forbidden, NotFound
from apimetry.store.client import Store
from apimetry.store.errors import AccountConflict, AccountInvalid, PlanLimitExceeded, RecordNotFound

_SHOWN_CHARACTERS = 80


class _OfOrganization(Protocol):
    @property
    def organization_id(self) -> str: ...


T = TypeVar("T")
Record = TypeVar("Record", bound=_OfOrganization)


async def run_answered(store: Store, call: Callable[[], T]) -> T:
    """Return what `call` returns in the store's threads; what the store refuses becomes an HTTP error."""
    with refusals_answered():
        return await store.run_reserved(call)


def owned(record: Record | None, access: Access, kind: str, name: str) -> Record:
    """Return `record` if it is of the key's organization.

    Raises:
        NotFound: there is no record, or another organization owns it.
    """
    if record is None or record.organization_id != access.organization.id:
        raise NotFound(f"There is no {kind} {name[:_SHOWN_CHARACTERS]!r}")
    return record


@contextmanager
def refusals_answered() -> Iterator[None]:
    """Turn what the store refuses within the block into HTTP errors."""
    try:
        yield
    except RecordNotFound as error:
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
