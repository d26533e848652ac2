"""What is remembered is what was; what is damaged or foreign is nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.wait import until

from tsujiban.agent import memory
from tsujiban.agent.memory import Memory, full_delta, recall
from tsujiban.policy.program import (
    EndpointProgram,
    Member,
    NodeDelta,
    NodeState,
    Peer,
    PolicyProgram,
    ServiceMember,
    ServiceProgram,
    SetChange,
)
from tsujiban.wire.messages import ControllerAddress, NodeConfig, PodsDelta

NETWORK = NodeConfig(
    trust_domain="cluster.local",
    trust_bundle_pem="pem",
    pod_blocks=("10.244.0.0/26",),
    pod_cidrs=("10.244.0.0/16",),
    service_cidrs=("10.96.0.0/16",),
    dns_address="10.96.0.10",
    cluster_domain="cluster.local",
)
CONTROLLERS = (ControllerAddress("1" * 32, "192.0.2.1", 7443),)
PODS = PodsDelta(pods={"default/a": b"{}"}, full=True)


def state() -> NodeState:
    made = NodeState()
    made.apply(
        NodeDelta(
            revision=7,
            full=True,
            endpoints={"default/a": EndpointProgram(id="default/a", node="n")},
            policies={"p": PolicyProgram(id="p")},
            sets={
                "s": SetChange(full=True, added=frozenset({Member(net="10.0.0.1")})),
                "t": SetChange(
                    full=True,
                    service=True,
                    added_services=frozenset({ServiceMember(address="10.0.0.1", protocol=6, port=80)}),
                ),
            },
            peers={"10.0.0.1": Peer(address="10.0.0.1", endpoint="default/a")},
            services={"default/s": ServiceProgram(id="default/s")},
        )
    )
    return made


def test_a_full_delta_makes_the_same_state() -> None:
    again = NodeState()
    again.apply(full_delta(state()))
    assert again == state()


def test_remembers_over_its_own_death(tmp_path: Path) -> None:
    path = tmp_path / "memory"

    async def story() -> None:
        kept = Memory(path, lambda: NETWORK, lambda: PODS, lambda: CONTROLLERS)
        task = asyncio.create_task(kept.run())
        assert await kept.enforce(state(), None) == ()
        await until(path.exists)
        task.cancel()

    asyncio.run(story())
    assert path.stat().st_mode & 0o777 == 0o600
    found = recall(path)
    assert found is not None
    assert (found.network, found.pods, found.controllers) == (NETWORK, PODS, CONTROLLERS)
    again = NodeState()
    again.apply(found.policy)
    assert again == state()


def test_damage_and_absence_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    assert recall(path) is None
    path.write_bytes(b"\x81\xa3")
    path.chmod(0o600)
    assert recall(path) is None


def test_a_file_of_others_or_of_another_version_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory"

    async def write() -> None:
        kept = Memory(path, lambda: NETWORK, lambda: PODS)
        task = asyncio.create_task(kept.run())
        await kept.enforce(state(), None)
        await until(path.exists)
        task.cancel()

    asyncio.run(write())
    path.chmod(0o644)
    assert recall(path) is None
    path.chmod(0o600)
    monkeypatch.setattr(memory, "PROTOCOL_VERSION", 99)
    assert recall(path) is None
