"""The running cluster's policy, compiled here from the API's objects by the controller's own compiler.

`explain` can so answer about a live cluster, or about what a change would do to it, without asking
anyone to decide for it.
"""

from __future__ import annotations

from typing import Any

from tsujiban.local.client import ApiError, Client
from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.resources.load import LoadedObject, decode
from tsujiban.resources.registry import IDLE, KINDS

Json = dict[str, Any]
NOT_FOUND = 404
# kinds that policy never looks at, and that may be many or private
PASSED_OVER = {
    *("Secret", "Event", "Lease", "ConfigMap", "PodDisruptionBudget", "ControllerRevision"),
    *("ReplicaSet", "Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob"),
}


def fetch(client: Client) -> list[LoadedObject]:
    """Every object of the cluster that policy may look at. Raises Unreachable, ApiError."""
    found: list[LoadedObject] = []
    for kind in KINDS:
        if kind.kind in PASSED_OVER or kind.module in IDLE:
            continue
        try:
            items = client.list(kind).get("items", [])
        except ApiError as error:
            if error.http == NOT_FOUND:  # a kind that this server does not serve
                continue
            raise
        found += [LoadedObject(kind, decode(item), item) for item in items]
    return found


def compile_live(client: Client, trust_domain: str) -> PolicyGraph:
    """The policy in force. Raises Unreachable, ApiError."""
    graph = PolicyGraph(trust_domain)
    graph.apply((key_of(loaded.object), loaded) for loaded in fetch(client))
    return graph
