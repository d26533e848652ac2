"""The running cluster as the offline commands see files: objects, and the trust domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tsujiban.cli.session import connect, kind_of, open_local
from tsujiban.resources.load import LoadedObject

# for names alone: their pods are there
OWNERS = ("deployments", "replicasets", "daemonsets", "statefulsets", "jobs")
_WORKLOADS = frozenset(
    {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController"}
)


def objects(cluster: str) -> tuple[list[LoadedObject], str]:
    """What policy looks at in the running cluster, and its trust domain. Raises Failure."""
    from tsujiban.controller import config
    from tsujiban.local.live import fetch
    from tsujiban.resources.load import decode

    with connect(cluster) as client:
        found = [one for one in fetch(client) if not _finished(one)]
        for word in OWNERS:
            kind = kind_of(word)
            listed = client.list(kind).get("items", [])
            found += [LoadedObject(kind, decode(one), one) for one in listed if not is_over(one)]
    return found, config.load(open_local(cluster).layout.controller_config).trust_domain


def _finished(one: LoadedObject) -> bool:
    """A pod that has come to an end: its address may be another's by now."""
    return one.kind.kind == "Pod" and (one.raw.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_over(workload: dict[str, Any]) -> bool:
    """A Job that has come to an end: no pod of it is there to be meant."""
    conditions = (workload.get("status") or {}).get("conditions") or ()
    ends = ("Complete", "Failed") if workload.get("kind") == "Job" else ()
    return any(one["type"] in ends and one["status"] == "True" for one in conditions)


def applied(
    running: Sequence[LoadedObject], files: Sequence[LoadedObject], namespace: str
) -> tuple[list[LoadedObject], list[str]]:
    """The cluster as it would be with the objects of some files, and the workloads that are taken as they
    run: which pods they would have is not known before they are there."""
    here = {_key(one, namespace): one for one in running}
    kept: list[str] = []
    for one in files:
        key = _key(one, namespace)
        if one.kind.kind in _WORKLOADS and key in here:
            kept.append(f"{one.kind.singular}/{key[2]}")
        else:
            here[key] = one
    return list(here.values()), kept


def _key(one: LoadedObject, namespace: str) -> tuple[str, str, str]:
    meta = one.object.metadata
    return (
        f"{one.kind.kind}.{one.kind.group}",
        (meta.namespace or namespace) if one.kind.namespaced else "",
        meta.name,
    )
