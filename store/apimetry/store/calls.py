"""Count an organization's requests of a month: a plan's number of calls limits this figure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from apimetry.store.client import Store

# All versions of an application's record have the same organization, so no FINAL. Deleted applications count, too.
_CALLS: Final = """SELECT organization_id, sum(requests)
FROM counters
INNER JOIN (SELECT DISTINCT id, organization_id FROM applications) AS applications
  ON counters.application = applications.id
WHERE month = {month:Date}
GROUP BY organization_id"""


def calls_of_month(store: Store, month: date) -> Mapping[str, int]:
    """Return the requests with a timestamp in the UTC month that begins at `month`, by organization id; blocks."""
    return dict(store.query(_CALLS, {"month": month}))
