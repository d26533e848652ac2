"""The policy that questions are judged by, compiled anew when something has changed. Pure.

A proxy of somebody else's stands in front of each workload that is asked about, so every workload is
judged as one with a proxy, whatever its mesh label says; who is at the other end is never presumed:
it is what the proxy has authenticated, or nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.population import Key
from tsujiban.policy.program import Authentication, Mesh
from tsujiban.policy.world import World
from tsujiban.resources.load import LoadedObject

OVER = ("Succeeded", "Failed")


class Policies:
    """Objects in, a world out. Not thread-safe."""

    def __init__(self, trust_domain: str, *, offline: bool = False) -> None:
        """`offline`: the objects are from files, where pods may have no addresses yet. Plaintext is
        refused unless a PeerAuthentication accepts it, in both cases."""
        self._graph = PolicyGraph(
            trust_domain, Mesh.SIDECAR, offline=offline, authentication=Authentication(), labelled=False
        )
        self._world: World | None = None

    def change(self, changes: Iterable[tuple[Key, LoadedObject | None]]) -> None:
        """Take new objects, and let go of those that are None. A pod that has come to an end is let go
        of: its address may be another's by now."""
        self._graph.apply(
            (key, None if loaded is None or _over(loaded) else loaded) for key, loaded in changes
        )
        self._world = None

    def world(self) -> World:
        """What is in force now."""
        if self._world is None:
            self._world = World(self._graph.state())
        return self._world


def keyed(objects: Iterable[LoadedObject]) -> list[tuple[Key, LoadedObject | None]]:
    """Objects as changes."""
    return [(key_of(one.object), one) for one in objects]


def _over(loaded: LoadedObject) -> bool:
    return loaded.kind.kind == "Pod" and loaded.raw.get("status", {}).get("phase") in OVER
