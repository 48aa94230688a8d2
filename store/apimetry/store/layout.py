"""Write the statements that create tables on one server, or on the shards and replicas of a cluster.

On a cluster a *sharded* table is `NAME_local` (replicated within its shard) behind a Distributed table `NAME`. A
*shared* table is whole on every node. Statements elsewhere use `NAME` on a server and on a cluster alike.

Inserts go through the Distributed table, in the foreground. The row itself determines its shard, so a retry through
any node reaches the same shards, and these shards know the token. An insert into the local table of a node would be
stored twice when a balancer sends the retry to another shard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEDUPLICATION_WINDOW: Final = 10_000
# The window must hold a token for as long as an insert with an unknown outcome can wait in a spool.
_WINDOW_SECONDS: Final = 28 * 24 * 3600


@dataclass(frozen=True)
class Layout:
    """The statements of one database on one server, or on the named cluster."""

    database: str
    cluster: str | None = None

    def sharded_table(  # noqa: PLR0913 - the clauses of CREATE TABLE
        self,
        name: str,
        columns: str,
        *,
        order_by: str,
        shard_by: str,
        engine: str = "MergeTree",
        arguments: str = "",
        partition_by: str | None = None,
        ttl: str | None = None,
        settings: str = "",
    ) -> list[str]:
        """Return the repeatable CREATE statements of a large table."""
        clauses = [f"ORDER BY {order_by}"]
        if partition_by:
            clauses.insert(0, f"PARTITION BY {partition_by}")
        if ttl:
            clauses.append(f"TTL {ttl}")
        clauses.append(f"SETTINGS {self._window()}{settings and ', '}{settings}")
        tail = "\n".join(clauses)
        if self.cluster is None:
            create = f"CREATE TABLE IF NOT EXISTS {self.database}.{name}\n({columns})\n"
            return [f"{create}ENGINE = {engine}({arguments})\n{tail}"]
        keeper = f"'/clickhouse/tables/{{shard}}/{self.database}/{name}_local', '{{replica}}'"
        arguments = f"{keeper}, {arguments}" if arguments else keeper
        return [
            (
                f"CREATE TABLE IF NOT EXISTS {self.database}.{name}_local{self.on_cluster}\n({columns})\n"
                f"ENGINE = Replicated{engine}({arguments})\n{tail}"
            ),
            (
                f"CREATE TABLE IF NOT EXISTS {self.database}.{name}{self.on_cluster}"
                f" AS {self.database}.{name}_local\n"
                f"ENGINE = Distributed('{self.cluster}', '{self.database}', '{name}_local', {shard_by})"
            ),
        ]

    def shared_table(
        self, name: str, columns: str, *, order_by: str, version: str, ttl: str | None = None
    ) -> list[str]:
        """Return the CREATE statement of a small table, whole on every node; per key the highest `version` stays."""
        engine = f"ReplacingMergeTree({version})"
        ttl_clause = f"TTL {ttl}\n" if ttl else ""
        if self.cluster is not None:
            keeper = f"'/clickhouse/tables/all/{self.database}/{name}', '{{shard}}-{{replica}}'"
            engine = f"ReplicatedReplacingMergeTree({keeper}, {version})"
        return [
            (
                f"CREATE TABLE IF NOT EXISTS {self.database}.{name}{self.on_cluster}\n({columns})\n"
                f"ENGINE = {engine}\nORDER BY {order_by}\n{ttl_clause}SETTINGS {self._window()}"
            )
        ]

    def view(self, name: str, *, source: str, target: str, select: str) -> list[str]:
        """Return the CREATE statement of a materialized view that fills `target` from inserts into `source`.

        The view runs on the node that stores the block. `select` names its source table as `{source}`.
        """
        suffix = "" if self.cluster is None else "_local"
        body = select.replace("{source}", f"{self.database}.{source}{suffix}")
        return [
            (
                f"CREATE MATERIALIZED VIEW IF NOT EXISTS {self.database}.{name}{self.on_cluster}"
                f" TO {self.database}.{target}{suffix} AS\n{body}"
            )
        ]

    def alter(self, name: str, change: str) -> list[str]:
        """Return the statements of a repeatable change of a sharded table's columns (`ADD COLUMN …`)."""
        if self.cluster is None:
            return [f"ALTER TABLE {self.database}.{name} {change}"]
        return [
            f"ALTER TABLE {self.database}.{name}_local{self.on_cluster} {change}",
            f"ALTER TABLE {self.database}.{name}{self.on_cluster} {change}",
        ]

    def alter_stored(self, name: str, change: str) -> str:
        """Return the statement of a repeatable change of the tables with the rows (`MODIFY SETTING …`)."""
        return f"ALTER TABLE {self.database}.{self.stored(name)}{self.on_cluster} {change}"

    def stored(self, name: str) -> str:
        """Return the name of the table that holds a sharded table's rows on a node."""
        return name if self.cluster is None else f"{name}_local"

    @property
    def on_cluster(self) -> str:
        """Return the clause that runs a statement on every node, with a leading space; empty for one server."""
        return "" if self.cluster is None else f" ON CLUSTER '{self.cluster}'"

    def _window(self) -> str:
        if self.cluster is None:
            return f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"
        return (
            f"replicated_deduplication_window = {DEDUPLICATION_WINDOW},"
            f" replicated_deduplication_window_seconds = {_WINDOW_SECONDS}"
        )
