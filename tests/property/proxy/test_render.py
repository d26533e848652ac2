"""What proxies hold after any number of changes is what they would be given if they came now."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from msgspec.structs import replace
from tests.support.judged import judged, quick
from tests.support.wandering import changes_of, wandering
from tests.support.worlds import NODES, WorldMaker, worlds

from tsujiban.policy.graph import PolicyGraph
from tsujiban.policy.program import Authentication, MtlsMode, NodeState
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind, Resource, Resources
from tsujiban.proxy.site import SIDECAR, NodeSite, Site

CIDRS = ("10.0.0.0/8", "2001:db8::/32")
HERE = NODES[0]
KEY = Resource(Kind.SECRET, "key", {"name": "key"})


class Followed:
    """The pods of a node as its proxy post keeps them, in states that come one after the other."""

    def __init__(self, random: Random) -> None:
        self.state = NodeState()
        self._random = random
        self._programs = Programs()
        self._peers = Peers()
        self._pods: dict[str, ServedPod] = {}

    def meddle(self) -> None:
        """Change what worlds seldom change: how one pod may be spoken to."""
        if self.state.endpoints and self._random.random() < 0.5:
            name = self._random.choice(sorted(self.state.endpoints))
            changed = Authentication(
                mode=self._random.choice(list(MtlsMode)),
                id=self._random.choice(("x/pa:a/mtls", "x/pa:b/mtls")),
                ports={80: self._random.choice(list(MtlsMode))} if self._random.random() < 0.5 else {},
            )
            self.state.endpoints[name] = replace(self.state.endpoints[name], authentication=changed)

    def follow(self) -> None:
        """Take the state as it is now. Pods come and go with their programs, or a while later."""
        self._programs.moved(self._peers.take(self.state.peers))
        for name in self._pods.keys() - self.state.endpoints.keys():
            if self._random.random() < 0.5:
                del self._pods[name]
        for name in sorted(self.state.endpoints.keys() - self._pods.keys()):
            if self._random.random() < 0.7:
                pod = ServedPod(name, self._site(name), str, lambda _: None, self._programs)
                pod.secrets = {KEY.name: KEY}
                self._pods[name] = pod
        for pod in self._pods.values():
            pod.render(self.state, CIDRS, self._peers)

    def _site(self, name: str) -> Site:
        return SIDECAR if self._random.random() < 0.5 else NodeSite(namespace=f"/run/netns/{name}")

    def compare(self) -> int:
        """How many pods hold anything. Raises AssertionError when one should hold something else."""
        for pod in self._pods.values():
            if pod.endpoint in self.state.endpoints:
                anew = render(self.state, pod.endpoint, CIDRS, pod.site)
                assert versions(pod.resources) == versions(anew.resources)
            else:
                assert versions(pod.resources) == {}
        return sum(bool(versions(pod.resources)) for pod in self._pods.values())


def versions(resources: Resources) -> dict[str, str]:
    """By name, of all but keys. They are hashes of the content."""
    return {
        f"{kind.name} {name}": one.version
        for kind, listed in resources.items()
        if kind is not Kind.SECRET
        for name, one in listed.items()
    }


def check_world(maker: WorldMaker) -> int:
    final = changes_of(maker.objects())
    graph, node = PolicyGraph(), Followed(maker.random)
    compared = 0
    for revision, batch in enumerate(wandering(maker.random, final, changes_of(maker.objects())), 1):
        graph.apply(batch)
        delta = graph.delta(HERE, revision)
        if delta is not None:
            node.state.apply(delta)
        node.meddle()
        node.follow()
        compared += node.compare()
    return compared


@quick(10)
@given(worlds())
def test_what_has_followed_changes_is_what_would_be_made_anew(maker: WorldMaker) -> None:
    check_world(maker)


@pytest.mark.timeout(7200)
def test_many_worlds() -> None:
    assert sum(check_world(WorldMaker(Random(seed), size=4)) for seed in range(judged(6, part=20))) > 40
