"""The zone file follows the state and the networks; a file that cannot be written is a problem."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from tests.support.podbed import NETWORK

from tsujiban.agent import names
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.names import NamesSide
from tsujiban.network import zone
from tsujiban.policy.program import NodeDelta, NodeState, Peer


def config(run: Path) -> AgentConfig:
    return AgentConfig(
        cluster="t", node="n1", address="172.31.255.11", run_dir=str(run), state_dir=str(run),
        supervisor_socket="", join_file="", controller_host="", controller_port=0,
    )  # fmt: skip


def state() -> NodeState:
    made = NodeState()
    peer = Peer(address="10.244.0.1", endpoint="default/a")
    made.apply(NodeDelta(revision=1, full=True, peers={"10.244.0.1": peer}))
    return made


def test_the_zone_is_written_and_follows_the_networks(tmp_path: Path) -> None:
    side = NamesSide(config(tmp_path), NETWORK)
    path = names.zone_file(config(tmp_path))
    assert asyncio.run(side.enforce(state(), None)) == ()
    assert zone.parse(path.read_bytes()).networks == ["10.244.0.0/16", "10.96.0.0/16"]
    wider = msgspec.structs.replace(NETWORK, pod_cidrs=("10.244.0.0/16", "10.9.0.0/16"))
    side.configure(wider)
    assert asyncio.run(side.enforce(state(), set())) == ()
    assert "10.9.0.0/16" in zone.parse(path.read_bytes()).networks


def test_a_file_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "dns").write_text("not a directory")
    (problem,) = asyncio.run(NamesSide(config(tmp_path), NETWORK).enforce(state(), None))
    assert "dns" in problem


def test_the_server_reads_that_file_in_the_nodes_namespace(tmp_path: Path) -> None:
    spec = names.process(config(tmp_path), NETWORK)
    spec.check()
    assert spec.name == "n1/dns"
    assert spec.netns.endswith("tsj-t-n1")
    assert (tmp_path / "dns").is_dir()
