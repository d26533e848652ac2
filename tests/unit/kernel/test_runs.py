import pytest

from tsujiban.kernel.runs import simple
from tsujiban.policy.program import Action, Direction, Http, Icmp, PortRange, Ports, Rule, Side

X = Side(sets=("x",))
WEB = Side(ports=Ports(ranges=(PortRange(first=80, last=81),)))


def rule(**fields: object) -> Rule:
    return Rule(**({"id": "r", "action": Action.ALLOW, "protocols": (6,), "src": X, "dst": WEB} | fields))  # type: ignore[arg-type]


def test_a_simple_rule_is_peers_with_ports() -> None:
    found = simple(rule(), Direction.INGRESS)
    assert found is not None
    assert (found.peers, found.suffixes, found.ported) == ("x", (" . 6 . 80", " . 6 . 81"), True)


def test_without_ports_every_protocol_is_meant() -> None:
    found = simple(
        rule(protocols=(), dst=Side(nets=("10.0.0.1/32", "fd00::1")), src=Side()), Direction.EGRESS
    )
    assert found is not None
    assert (found.peers, found.suffixes, found.ported) == (("10.0.0.1", "fd00::1"), ("",), False)
    assert found.addresses(6, None) == {"fd00::1": ""}


@pytest.mark.parametrize(
    "fields",
    [
        {"action": Action.PASS},
        {"action": Action.LOG},
        {"http": Http(methods=("GET",))},
        {"icmp": Icmp(type=8)},
        {"not_icmp": Icmp(type=8)},
        {"not_protocols": (17,)},
        {"protocols": ()},
        {"protocols": (1,)},
        {"dst": Side()},
        {"dst": Side(nets=("10.0.0.1",), ports=WEB.ports)},
        {"dst": Side(ports=WEB.ports, not_ports=WEB.ports)},
        {"dst": Side(ports=Ports(ranges=(PortRange(first=0, last=65535),)))},
        {"dst": Side(ports=Ports(named=("n",)))},
        {"dst": Side(services=("s",))},
        {"src": Side()},
        {"src": Side(sets=("x", "y"))},
        {"src": Side(sets=("x",), nets=("10.0.0.1",))},
        {"src": Side(sets=("x",), not_sets=("y",))},
        {"src": Side(sets=("x",), not_nets=("10.0.0.1",))},
        {"src": Side(nets=("10.0.0.0/24",))},
        {"src": Side(sets=("x",), ports=WEB.ports)},
        {"src": Side(sets=("x",), not_ports=WEB.ports)},
    ],
)
def test_what_a_key_cannot_say_is_no_part_of_a_run(fields: dict[str, object]) -> None:
    assert simple(rule(**fields), Direction.INGRESS) is None
