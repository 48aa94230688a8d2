"""What organizations were sent in a month: the figure that a plan's number of calls limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from apimetry.store.client import Store

# Every version of an application's record has the same organization: no FINAL. Deleted ones are among them.
_CALLS: Final = """SELECT organization_id, sum(requests)
FROM counters
INNER JOIN (SELECT DISTINCT id, organization_id FROM applications) AS applications
  ON counters.application = applications.id
WHERE month = {month:Date}
GROUP BY organization_id"""


def calls_of_month(store: Store, month: date) -> Mapping[str, int]:
    """Requests stored with a timestamp in the UTC month that begins at `month`, by organization; blocking."""
    return dict(store.query(_CALLS, {"month": month}))
