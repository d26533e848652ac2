from tsujiban.network import links
from tsujiban.resources.names import link_name

BOTH = links.PodLink(uid="u", namespace="n", addresses=("10.0.0.7", "fd00::7"))


def test_the_host_knows_neighbour_and_route_of_each_address() -> None:
    assert [message.what for message in links.host_messages(BOTH, 5)] == [
        "add neighbour 10.0.0.7",
        "add route 10.0.0.7/32",
        "add neighbour fd00::7",
        "add route fd00::7/128",
    ]


def test_the_pod_gets_gateways_of_its_own_families_only() -> None:
    both = [message.what for message in links.pod_messages(BOTH, 2)]
    assert both[-5:] == [
        "add neighbour 169.254.1.1",
        "add route 169.254.1.1/32",
        "add route 0.0.0.0/0",
        "add neighbour fe80::ecee:eeff:feee:eeee",
        "add route ::/0",
    ]
    only6 = links.PodLink(uid="u", namespace="n", addresses=("fd00::7",))
    assert not any("169.254" in message.what for message in links.pod_messages(only6, 2))


def test_the_name_is_the_one_that_policy_uses() -> None:
    assert BOTH.name == link_name("u")


def test_the_ipv6_gateway_is_the_link_local_address_of_the_hosts_mac() -> None:
    octets = bytes.fromhex(links.HOST_MAC.replace(":", ""))
    eui = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    groups = [f"{int.from_bytes(eui[i : i + 2]):x}" for i in range(0, 8, 2)]
    assert "fe80::" + ":".join(groups) == links.GATEWAY6
