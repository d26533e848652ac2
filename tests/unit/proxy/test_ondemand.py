from __future__ import annotations

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.proxy import clusters, names, ondemand
from tsujiban.proxy.delta import Responses
from tsujiban.proxy.ondemand import Known, OnDemand
from tsujiban.proxy.resource import Kind
from tsujiban.proxy.site import SIDECAR

HERE, THERE = (names.mesh_cluster(names.ASKED, address) for address in ("10.0.0.1", "10.0.0.2"))
Told = list[tuple[list[str], list[str]]]


class World:
    """Who is where, and a stream that is told of it."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.known = True
        self.now = 0.0
        self.stream = OnDemand(self.answer, lambda: self.now)
        self.nonce = ""

    def answer(self, name: str) -> Known | None:
        owner = self.owners.get(names.mesh_address(name), "")
        if owner:
            return Known(clusters.mesh(SIDECAR, name, owner))
        return Known(None) if self.known else None

    def told(self, responses: Responses) -> Told:
        found = []
        for one in responses:
            self.nonce = one.nonce
            found.append(([resource.name for resource in one.resources], list(one.removed_resources)))
        return found

    def ask(self, *asked: str, **more: object) -> Told:
        message = discovery_pb2.DeltaDiscoveryRequest(
            type_url=Kind.CLUSTER, resource_names_subscribe=asked, **more
        )
        return self.told(self.stream.request(message))

    def push(self, moved: tuple[str, ...] | None = None) -> Told:
        return self.told(self.stream.push(2, moved))


def test_what_is_asked_for_is_told_and_told_again_when_it_changes() -> None:
    world = World()
    world.owners = {"10.0.0.1": "a", "10.0.0.2": "b"}
    assert world.ask(HERE) == [([HERE], [])]
    assert not world.stream.led
    assert not world.stream.settled(0)
    assert world.ask(response_nonce=world.nonce) == []
    assert world.stream.led
    assert world.push() == []
    world.owners = {"10.0.0.1": "other", "10.0.0.2": "other"}
    assert world.push(("10.0.0.2", "10.0.0.3")) == []  # it has not asked for these
    assert world.push(("10.0.0.1",)) == [([HERE], [])]


def test_who_is_gone_is_replaced_by_a_cluster_that_refuses() -> None:
    world = World()
    world.owners = {"10.0.0.1": "a"}
    world.ask(HERE)
    world.owners = {}
    assert world.push() == [([HERE], [])]
    assert world.push() == []
    assert not world.stream.settled(2)
    world.owners = {"10.0.0.1": "a"}
    assert world.push() == [([HERE], [])]


def test_what_is_not_known_yet_is_told_when_it_is() -> None:
    world = World()
    world.known = False
    assert world.ask(HERE) == []
    world.known = True
    assert world.push(()) == [([HERE], [])]
    assert world.push(()) == []


def test_names_of_nobody_are_refused_with_a_cluster_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondemand, "_REFUSING", 1)
    world = World()
    assert world.ask(HERE, THERE) == [([HERE], [THERE])]
    assert world.push() == []
    world.owners = {"10.0.0.2": "b"}
    assert world.push() == [([THERE], [])]
    world.owners = {}
    assert world.push() == [([], [THERE])]


def test_nothing_else_is_told_or_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondemand, "_NAMES", 1)
    world = World()
    world.owners = {"10.0.0.1": "a", "10.0.0.2": "b"}
    strange = [names.AGENT_CLUSTER, "mesh|asked|x", "*"]
    assert world.ask(*strange) == [([], strange)]
    assert world.ask(HERE, THERE) == [([], [THERE]), ([HERE], [])]
    other = discovery_pb2.DeltaDiscoveryRequest(type_url=Kind.SECRET, resource_names_subscribe=[HERE])
    assert list(world.stream.request(other)) == []


def test_a_stream_that_comes_back_is_told_what_is_other_than_it_holds() -> None:
    world = World()
    world.owners = {"10.0.0.1": "a", "10.0.0.2": "b"}
    held = {HERE: clusters.mesh(SIDECAR, HERE, "a").version, THERE: "old"}
    assert world.ask(HERE, THERE, initial_resource_versions=held) == [([THERE], [])]


def test_what_was_refused_is_told_again_and_what_is_not_wanted_is_forgotten() -> None:
    world = World()
    world.owners = {"10.0.0.1": "a"}
    world.ask(HERE)
    refusal = discovery_pb2.DeltaDiscoveryRequest(type_url=Kind.CLUSTER, response_nonce=world.nonce)
    refusal.error_detail.message = "no such field"
    assert world.told(world.stream.request(refusal)) == []
    assert "no such field" in world.stream.problem
    assert world.push() == [([HERE], [])]
    world.ask(response_nonce=world.nonce)
    assert world.stream.problem == ""
    gone = discovery_pb2.DeltaDiscoveryRequest(type_url=Kind.CLUSTER, resource_names_unsubscribe=[HERE])
    assert world.told(world.stream.request(gone)) == []
    world.owners = {"10.0.0.1": "b"}
    assert world.push() == []


def test_of_many_tunnels_those_that_are_not_used_are_let_go_and_told_again_when_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ondemand, "KEPT", 1)
    world = World()
    world.owners = {"10.0.0.1": "a", "10.0.0.2": "b"}
    service = names.service_cluster(names.ASKED, "10.0.0.1:80")
    world.ask(HERE, THERE, service)
    world.now = ondemand.IDLE_SECONDS - 1
    assert world.told(world.stream.rest()) == []
    world.stream.used(HERE)
    world.now += 1
    assert world.told(world.stream.rest()) == [([], [THERE])]
    assert world.told(world.stream.rest()) == []
    world.owners["10.0.0.2"] = "other"
    assert world.push() == world.push(("10.0.0.2",)) == []  # it does not hold it
    assert world.told(world.stream.wanted(HERE)) == []
    assert world.told(world.stream.wanted(THERE)) == [([THERE], [])]
    assert world.told(world.stream.wanted(THERE)) == []
    world.now += ondemand.IDLE_SECONDS
    assert world.told(world.stream.rest()) == [([], [HERE])]
    assert world.ask(HERE) == [([HERE], [])]


def test_a_few_tunnels_are_kept_and_who_was_never_asked_for_is_not_told() -> None:
    world = World()
    world.owners = {"10.0.0.1": "a"}
    world.ask(HERE)
    world.now = 10 * ondemand.IDLE_SECONDS
    assert world.told(world.stream.rest()) == world.told(world.stream.wanted(THERE)) == []
