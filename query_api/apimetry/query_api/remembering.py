"""Remember the rows of a question's statements for as long as no event of the question's range changes.

The second time that a question is asked, the rows of its statements are kept, with the version of the events in its
ranges (`store.changes`). From the third time on, one cheap statement reads the version. If it is the same, the
statements are not run: their rows are those that the engine would return. So what is remembered shows every insert,
late or not, every deletion and every change of retention at once, also with several services on one server.

The process of an embedded store makes all of its changes, and counts them (`Inserts.moment`). As long as the moment
is that at which the version was read, rows are true without any statement. What an insert shows while other rows are
read has its own version: so rows of the past are remembered although inserts never pause.

A question whose end moves with the time is never asked again. Some of its statements have parts (`Statement.parts`).
A range of the past is then a question of its own, with its own version, and the statements about it are those that
have parts about this range. The first time that something is asked of the range, its statements are run as a whole.

Nothing is remembered that reaches back beyond the retention, or with events that may have expired: the engine removes
those at a time of its own. On a cluster nothing is remembered: replicas know of an insert at different times.

Memory: rows are kept as bytes, `max_bytes` in all; what was used the longest ago goes first.
"""

from __future__ import annotations

import marshal
import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from apimetry.query_api.question_size import question_bytes
from apimetry.store.changes import Versions, inserting, versions, versions_in
from apimetry.store.inserts import Inserts
from apimetry.store.statement import Ask, Rows, Statement

DAY_S = 86_400
SKEW_S = 300
"""How far the clocks of the store and of this service may differ."""

STATEMENT_BYTES = 500
"""What a statement takes beside its text, its values and its rows."""

_LARGEST_PART = 8
"""One statement's rows take at most this part of the memory."""

_Key = tuple[str, bytes]


class Outcome(str, Enum):
    """Where the rows of a statement came from."""

    used = "used"
    """From memory."""

    read = "read"
    """From the engine, and they are remembered."""

    unfit = "unfit"
    """From the engine: asked for the first time, too large, or with a version that was read beside an insert."""


@dataclass(frozen=True)
class About:
    """What a question's answer depends on, beside the question: events of `application` in `ranges`."""

    application: str
    ranges: tuple[tuple[int, int], ...]
    """`[start, end)` in seconds since the epoch."""

    retention_days: int

    def covers(self, statement: Statement) -> bool:
        """Return whether the times that a statement binds (`rows_sql.range_parameters`) lie in the ranges."""
        times = [value for name, value in statement.parameters.items() if name.startswith(("start_us", "end_us"))]
        return all(
            isinstance(time, int) and any(start * 1_000_000 <= time <= end * 1_000_000 for start, end in self.ranges)
            for time in times
        )


@dataclass
class _Remembered:
    """The rows of a question's statements, as bytes, that were true at `version`; None if they are not known."""

    question_bytes: int
    version: Versions | None = None
    rows: dict[_Key, bytes] = field(default_factory=dict)
    moment: int | None = None
    """The moment of an embedded store at which the version was read; None if an insert showed rows meanwhile."""
    holds: int = 0
    """How many holds of its inserts had begun."""

    def at(self, version: Versions, moment: int | None, holds: int) -> _Remembered:
        """Return what is known once `version` was read at `moment`."""
        rows = self.rows if self.version == version else {}
        return _Remembered(self.question_bytes, version, rows, moment, holds)

    @property
    def size(self) -> int:
        return self.question_bytes + sum(
            STATEMENT_BYTES + len(sql) + len(values) + len(rows) for (sql, values), rows in self.rows.items()
        )


class Memory(Collector):
    """The remembered rows of one service; any thread may use it.

    `inserts` are those of an embedded store; None with a server.

    Mutable state, under `_lock`: the questions, their size, and the counts of statements.
    """

    def __init__(self, max_bytes: int, inserts: Inserts | None = None) -> None:
        self._max_bytes = max_bytes
        self._inserts = inserts
        self._lock = threading.Lock()
        self._questions: OrderedDict[Hashable, _Remembered] = OrderedDict()
        self._bytes = 0
        self._outcomes: Counter[Outcome] = Counter()

    def recall(self, question: Hashable, about: About, ask: Ask, now_s: float) -> Ask:
        """Return `ask`, which takes rows from memory where they are still true, and remembers others.

        `question` is equal for equal questions. Blocks while `ask` reads the version of the events.
        """
        ask = self._in_parts(about, ask, now_s)
        with self._lock:
            known = self._questions.get(question)
            if known is None:
                self._keep(question, _Remembered(question_bytes(question)))
        if known is None or _reaches_back(about, now_s):
            return self._counting(ask)
        moment = self.moment()
        if moment is None or moment != known.moment:
            holds = self.holds
            version = versions_in(ask(versions(about.application, about.ranges)))
            known = known.at(version, moment if moment == self.moment() else None, holds)
            with self._lock:
                self._keep(question, known)
        expires_s = known.version.expires_s if known.version is not None else None
        if expires_s is not None and expires_s <= now_s + SKEW_S:
            return self._counting(ask)
        return _Recalling(self, question, about, known, ask).ask

    def _counting(self, ask: Ask) -> Ask:
        def counted(statement: Statement) -> Rows:
            self.count(Outcome.unfit)
            return ask(statement)

        return counted

    def _in_parts(self, about: About, ask: Ask, now_s: float) -> Ask:
        """Return `ask`, which takes rows about the past from memory where a statement has them apart."""
        pasts: dict[tuple[int, int], Ask | None] = {}
        lock = threading.Lock()

        def asked(statement: Statement) -> Rows:
            parts = statement.parts
            if parts is None:
                return ask(statement)
            # The version of a range is read once, also where several threads ask.
            with lock:
                if parts.range not in pasts:
                    pasts[parts.range] = self._past(parts.range, about, ask, now_s)
            past = pasts[parts.range]
            if past is None:
                return ask(statement)
            return [*past(parts.past), *(ask(parts.others) if parts.others is not None else ())]

        return asked

    def _past(self, times: tuple[int, int], about: About, ask: Ask, now_s: float) -> Ask | None:
        """Return what answers about the past; None the first time, and where its rows cannot be remembered."""
        about_past = replace(about, ranges=(times,))
        if _reaches_back(about_past, now_s):
            return None
        question = (about.application, times)
        with self._lock:
            if question not in self._questions:
                self._keep(question, _Remembered(question_bytes(question)))
                return None
        return self.recall(question, about_past, ask, now_s)

    @property
    def knows_moments(self) -> bool:
        """Return whether the store is embedded."""
        return self._inserts is not None

    @property
    def holds(self) -> int:
        """Return how many holds of an embedded store's inserts have begun."""
        return self._inserts.holds if self._inserts is not None else 0

    def moment(self) -> int | None:
        """Return the moment of an embedded store; None while an insert shows rows, and with a server."""
        return self._inserts.moment() if self._inserts is not None else None

    def inserting(self, ask: Ask) -> bool:
        """Return whether inserts run now. Blocks while `ask` does."""
        ((running,),) = ask(inserting())
        return bool(running)

    def count(self, outcome: Outcome) -> None:
        """Count one statement."""
        with self._lock:
            self._outcomes[outcome] += 1

    def remember(self, question: Hashable, version: Versions, key: _Key, rows: Rows) -> Outcome:
        """Keep the rows of a statement that are true at `version`, unless they are too large."""
        try:
            packed = marshal.dumps(rows)  # type: ignore[arg-type] # other values raise ValueError
        except ValueError:
            return Outcome.unfit  # a value of a type that has no bytes
        if len(packed) > self._max_bytes // _LARGEST_PART:
            return Outcome.unfit
        with self._lock:
            known = self._questions.get(question)
            if known is None or known.version != version:
                known = _Remembered(question_bytes(question), version)
            self._keep(question, replace(known, rows={**known.rows, key: packed}))
        return Outcome.read

    def _keep(self, question: Hashable, remembered: _Remembered) -> None:
        before = self._questions.pop(question, None)
        self._bytes += remembered.size - (before.size if before else 0)
        self._questions[question] = remembered
        while self._bytes > self._max_bytes:
            _, oldest = self._questions.popitem(last=False)
            self._bytes -= oldest.size

    def used(self, question: Hashable) -> None:
        """Note that a question's rows were used."""
        with self._lock:
            if question in self._questions:
                self._questions.move_to_end(question)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of the memory."""
        held = GaugeMetricFamily("apimetry_query_remembered_bytes", "Bytes of remembered rows.")
        statements = CounterMetricFamily(
            "apimetry_query_remembered_statements",
            "Statements of questions that may be remembered.",
            labels=["outcome"],
        )
        with self._lock:
            held.add_metric([], self._bytes)
            for outcome in Outcome:
                statements.add_metric([outcome.value], self._outcomes[outcome])
        yield from (held, statements)


def _reaches_back(about: About, now_s: float) -> bool:
    """Return whether a range begins before the retention, where the engine removes rows at a time of its own."""
    return min(start for start, _ in about.ranges) < now_s - about.retention_days * DAY_S


def _key_of(statement: Statement) -> _Key:
    return statement.sql, repr((sorted(statement.parameters.items()), statement.settings)).encode()


class _Recalling:
    """One asking of a question. Its statements may run in several threads.

    Mutable state, under `_lock`: `_asked`; `_true_at`, a moment of an embedded store at which the events had the
    known version; and `_is_settled`, which is None until the first statement must be run, and always in an embedded
    store.
    """

    def __init__(self, memory: Memory, question: Hashable, about: About, known: _Remembered, ask: Ask) -> None:
        self._memory = memory
        self._question = question
        self._about = about
        self._known = known
        self._ask = ask
        self._lock = threading.Lock()
        self._asked: set[_Key] = set()
        self._true_at = known.moment
        self._is_settled: bool | None = None

    def ask(self, statement: Statement) -> Rows:
        """Return the rows of a statement. Where it is asked again, its first rows did not fit."""
        key = _key_of(statement)
        with self._lock:
            packed, is_repeated = self._known.rows.get(key), key in self._asked
            self._asked.add(key)
        if packed is not None and (not is_repeated or self._is_still_true()):
            self._memory.count(Outcome.used)
            self._memory.used(self._question)
            remembered: Rows = marshal.loads(packed)  # noqa: S302 - bytes of this process
            return remembered
        is_fit = not statement.is_live and self._about.covers(statement) and self._settled()
        rows = self._ask(statement)
        outcome, version = Outcome.unfit, self._known.version
        if is_fit and version is not None and self._settled():
            outcome = self._memory.remember(self._question, version, key, rows)
        self._memory.count(outcome)
        return rows

    def _is_still_true(self) -> bool:
        """Return whether the events have the known version now, in an embedded store; with a server it is unknown."""
        moment = self._memory.moment()
        if moment is None:
            return False
        with self._lock:
            if moment != self._true_at:
                rows = self._ask(versions(self._about.application, self._about.ranges))
                is_true = versions_in(rows) == self._known.version and moment == self._memory.moment()
                self._true_at = moment if is_true else None
            return moment == self._true_at

    def _settled(self) -> bool:
        """Return whether all tables had what the log had, and have it still.

        It is so if no insert ran when the version was read, or with a server after it: an insert that begins later
        makes another version. What holds the inserts of an embedded store is in the log later than in the tables.
        """
        if self._memory.knows_moments:
            return self._known.moment is not None and self._known.holds == self._memory.holds
        with self._lock:
            if self._is_settled is None:
                self._is_settled = not self._memory.inserting(self._ask)
            return self._is_settled
