"""What `up` starts is obeyed by the supervisor, and has no more rights than it needs."""

from __future__ import annotations

from tsujiban.local import specs
from tsujiban.local.layout import Layout

LAYOUT = Layout("bank")


def test_the_controller_has_no_capability_and_its_sockets_are_passed_in() -> None:
    spec = specs.controller(LAYOUT, 50000)
    spec.check()
    assert spec.bounding == ()
    assert [listener.address for listener in spec.listen] == [
        "127.0.0.1:50000",
        "172.31.255.1:6443",
        "172.31.255.1:7443",
    ]
    assert [listener.netns for listener in spec.listen] == ["", *["/run/netns/tsj-bank-fabric"] * 2]


def test_an_agent_lives_in_its_nodes_namespace() -> None:
    spec = specs.agent(LAYOUT, "node-1")
    spec.check()
    assert spec.netns == "/run/netns/tsj-bank-node-1"
    assert "-I" in spec.argv
    assert not any("token" in part for part in spec.argv)
