"""Statements ON CLUSTER, for servers that have neither a queue for them nor replication."""

from __future__ import annotations

import re

WHOLE = "whole"
"""The cluster of the node that holds the tables which replication would keep whole on every node."""

_ON_CLUSTER = re.compile(r" ON CLUSTER '[^']*'")
_SHARDED = re.compile(r"Replicated(\w*MergeTree)\('/clickhouse/tables/\{shard\}/[^']*', '\{replica\}'(?:, )?")
_SHARED = re.compile(
    r"(?s)CREATE TABLE IF NOT EXISTS (\w+)\.(\w+)\n\((.*)\)\n"
    r"ENGINE = Replicated(\w*MergeTree)\('/clickhouse/tables/all/[^']*', '\{shard\}-\{replica\}', (.*)"
)
_WINDOW = re.compile(r"replicated_deduplication_window = (\d+),\s+replicated_deduplication_window_seconds = \d+")
_WHOLE_TABLES = r"alert_\w+|applications|collector_reports|jobs|key_uses|keys|organizations|turns"
_SHARED_ALTER = re.compile(rf"ALTER TABLE (\w+)\.({_WHOLE_TABLES}) ")


def for_nodes(statement: str, nodes: int) -> list[list[str]]:
    """Return what every node runs for a statement ON CLUSTER, in order; pure."""
    statement = _WINDOW.sub(r"non_replicated_deduplication_window = \1", _ON_CLUSTER.sub("", statement))
    shared = _SHARED.match(statement)
    if shared:
        database, name, columns, engine, rest = shared.groups()
        whole = f"CREATE TABLE IF NOT EXISTS {database}.{name}_whole\n({columns})\nENGINE = {engine}({rest}"
        front = (
            f"CREATE TABLE IF NOT EXISTS {database}.{name}\n({columns})\n"
            f"ENGINE = Distributed('{WHOLE}', '{database}', '{name}_whole')"
        )
        return [[whole, front], *[[front]] * (nodes - 1)]
    altered = _SHARED_ALTER.match(statement)
    if altered:
        whole = statement.replace(f".{altered[2]} ", f".{altered[2]}_whole ", 1)
        return [[whole, statement], *[[statement]] * (nodes - 1)]
    return [[_SHARDED.sub(r"\1(", statement)]] * nodes
