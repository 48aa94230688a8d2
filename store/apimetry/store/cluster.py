"""Read the engine's tables of all nodes, and refuse a cluster on which events would be doubled or accounts differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apimetry.store.errors import SchemaError

if TYPE_CHECKING:
    from apimetry.store.client import Store

_HAS_INTERNAL: Final = """SELECT count() FROM system.columns
WHERE database = 'system' AND table = 'clusters' AND name = 'internal_replication'"""
_SHARDS: Final = """SELECT shard_num, count(), {internal}
FROM system.clusters WHERE cluster = {{cluster:String}} GROUP BY shard_num ORDER BY shard_num"""
_REACHED: Final = "SELECT DISTINCT _shard_num FROM cluster('{cluster}', system.one)"
_PLAIN: Final = """SELECT name, any(engine), count()
FROM {tables}
WHERE database = {{database:String}} AND engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%'
GROUP BY name ORDER BY name"""


def everywhere(system_table: str, cluster: str | None) -> str:
    """Return the SQL of a table of `system`: of all nodes of the cluster, or of the one server."""
    return f"clusterAllReplicas('{cluster}', system.{system_table})" if cluster else f"system.{system_table}"


def lost_shards(store: Store) -> list[int]:
    """Return the numbers of the cluster's shards that no replica answers for; none where there is no cluster."""
    if store.cluster is None:
        return []
    known = store.query(_SHARDS.format(internal="0"), {"cluster": store.cluster})
    reached = store.query(_REACHED.format(cluster=store.cluster), settings={"skip_unavailable_shards": 1})
    return sorted({shard for shard, *_ in known} - {shard for (shard,) in reached})


def check_nodes(store: Store, cluster: str) -> list[int]:
    """Return the shards that have replicas; raise SchemaError where the cluster itself is missing or not safe."""
    internal = "min(internal_replication)" if store.query(_HAS_INTERNAL)[0][0] else "1"
    shards = store.query(_SHARDS.format(internal=internal), {"cluster": cluster})
    if not shards:
        raise SchemaError(
            f"ClickHouse knows no cluster {cluster!r}: name one of system.clusters with --cluster (APIMETRY_CLUSTER)"
        )
    replicated = [shard for shard, replicas, _ in shards if replicas > 1]
    for shard, replicas, is_internal in shards:
        if replicas > 1 and not is_internal:
            raise SchemaError(
                f"shard {shard} of cluster {cluster} has {replicas} replicas without internal_replication: an insert"
                " would go to each of them, and replication would copy it again. Set"
                " <internal_replication>true</internal_replication> for the shard"
            )
    return replicated


def check_hosts(store: Store, cluster: str) -> None:
    """Raise SchemaError where hosts of the store's URL are not of one cluster; those that are away are not asked."""
    shards = store.query_each_host(_SHARDS.format(internal="0"), {"cluster": cluster})
    first = next(iter(shards), "")
    for host, theirs in shards.items():
        if theirs != shards[first]:
            raise SchemaError(
                f"the store's hosts {first} and {host} know different shards of cluster {cluster}: events would be"
                " split between two clusters. Every host must be a node of the same cluster"
            )


def check_tables(store: Store, cluster: str) -> None:
    """Raise SchemaError, whose message says what to do, where the cluster or its tables are not safe."""
    check_hosts(store, cluster)
    replicated = check_nodes(store, cluster)
    plain = store.query(_PLAIN.format(tables=everywhere("tables", cluster)), {"database": store.database})
    for name, engine, nodes in plain:
        if name.endswith("_local") and replicated:
            raise SchemaError(
                f"table {store.database}.{name} is a {engine}, and shard {replicated[0]} of cluster {cluster} has"
                " several replicas: a retried insert would be stored once on each of them."
                f" The table must be a Replicated{engine}"
            )
        if not name.endswith("_local") and nodes > 1:
            raise SchemaError(
                f"table {store.database}.{name} is a {engine} on {nodes} nodes of cluster {cluster}: every node would"
                f" have accounts of its own. The table must be a Replicated{engine}"
            )
