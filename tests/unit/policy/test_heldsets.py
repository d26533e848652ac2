from __future__ import annotations

from tests.support.manifests import PODS, objects

from tsujiban.policy.definitions import SetDefinition, SetKind
from tsujiban.policy.graph import key_of
from tsujiban.policy.heldsets import HeldSets
from tsujiban.policy.index import LabelIndex
from tsujiban.policy.inforce import Selector
from tsujiban.policy.items import Surroundings
from tsujiban.policy.members import AnyMember
from tsujiban.policy.population import Population
from tsujiban.policy.program import Member, Mesh, ServiceMember
from tsujiban.resources import selectors

APP_B = SetDefinition(kind=SetKind.ENDPOINTS, selector=selectors.parse("app == 'b'"))
WEB = SetDefinition(kind=SetKind.NAMED_PORT, selector=selectors.EVERYTHING, name="web", protocol=6)
BACKENDS = SetDefinition(kind=SetKind.SERVICE, name="x/s")
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: x, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
ports: [{port: 80, protocol: TCP}]
"""


class Bed:
    """The three pods, filed, and the sets of them."""

    def __init__(self) -> None:
        self.population = Population(Surroundings("cluster.local", Mesh.NONE, offline=False))
        self.index: LabelIndex[Selector] = LabelIndex()
        self.noted: list[str] = []
        self.held = HeldSets(self.population, self.index, LabelIndex(), self.noted.append)
        for loaded in objects(PODS):
            self.population.change(key_of(loaded.object), None, loaded.object)
        for number, _, new in self.population.settle():
            if new is not None:
                self.index.set_item(number, new.labels)

    def members(self, name: str) -> set[AnyMember]:
        return set(self.held.states[name].counts)


def test_a_set_is_full_from_the_first_rule_to_the_last() -> None:
    bed = Bed()
    bed.held.acquire("b", APP_B)
    assert bed.members("b") == {Member(net="10.0.0.2"), Member(net="10.0.0.3")}
    bed.held.acquire("b", APP_B)
    assert bed.noted == ["b"]
    bed.held.release("b")
    assert "b" in bed.held.states
    bed.held.release("b")
    assert not bed.held.states
    assert bed.noted == ["b", "b"]


def test_named_ports_are_the_ports_of_those_who_have_them() -> None:
    bed = Bed()
    bed.held.acquire("w", WEB)
    assert bed.members("w") == {ServiceMember(address="10.0.0.1", protocol=6, port=80)}


def test_an_item_that_moves_takes_its_members_along() -> None:
    bed = Bed()
    bed.held.acquire("b", APP_B)
    number, item = next((n, i) for n, i in bed.population.items.items() if i.endpoint == "x/b")
    _, lost = bed.index.set_item(number, {})
    bed.held.move(lost, item, None)
    assert bed.members("b") == {Member(net="10.0.0.3")}
    assert bed.noted == ["b", "b"]


def test_a_services_set_follows_its_slices() -> None:
    bed = Bed()
    bed.held.acquire("v", BACKENDS)
    assert bed.members("v") == set()
    (loaded,) = objects(SLICE)
    key = key_of(loaded.object)
    assert list(bed.held.change_slice(key, None, loaded.object)) == ["x/s"]
    bed.held.refill("x/s")
    assert bed.members("v") == {ServiceMember(address="10.0.0.1", protocol=6, port=80)}
    assert len(bed.held.slices("x/s")) == 1
    assert list(bed.held.change_slice(key, loaded.object, None)) == ["x/s"]
    bed.held.refill("x/s")
    assert bed.members("v") == set()
    assert bed.held.slices("x/s") == []
