"""The post's dealings with the kernel are tested in tests/system/kernel/test_apply.py."""

from tsujiban.kernel.render import SOURCES, Settings, render
from tsujiban.policy.program import EndpointProgram, NodeState


def test_who_has_an_address_can_be_read_from_the_sources() -> None:
    """`sync` finds lost addresses as the last part of these sets' keys."""
    endpoints = {
        name: EndpointProgram(id=name, node="n", interface=f"tsj{name}", mac=mac, addresses=addresses)
        for name, mac, addresses in (
            ("a", "02:00:00:00:00:01", ("10.0.0.1", "fd00::1")),
            ("b", "", ("10.0.0.2",)),
        )
    }
    sets = render(NodeState(endpoints=endpoints), Settings()).table.sets
    found = {key.rpartition(" ")[2] for name in SOURCES for key in sets[name].elements}
    assert found == {"10.0.0.1", "fd00::1", "10.0.0.2"}
