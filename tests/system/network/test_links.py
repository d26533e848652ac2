import json
import socket

import pytest
from tests.support import machine
from tests.support.wait import PATIENCE

from tsujiban.local.fabric import Fabric
from tsujiban.network import links, namespaces
from tsujiban.resources.names import link_name, pod_mac, pod_namespace
from tsujiban.supervise.netns import call_in, namespace_path, open_listener

pytestmark = pytest.mark.system


def _link(fabric: Fabric, uid: str, *addresses: str) -> links.PodLink:
    name = pod_namespace(fabric.cluster, uid)
    namespaces.create(name)
    return links.PodLink(uid=uid, namespace=name, addresses=addresses)


def _add(fabric: Fabric, link: links.PodLink) -> None:
    call_in(namespace_path(fabric.node("node-1", 1).namespace), lambda: links.add(link))


def _links(namespace: str) -> list[tuple[object, ...]]:
    """Index, name, hardware address, addresses; not what the kernel adds later (state, link-local ones)."""
    return [
        (one["ifindex"], one["ifname"], one["address"], *_global(one["addr_info"]))
        for one in json.loads(machine.ip(namespace, "-j", "addr"))
    ]


def _global(addresses: list[dict[str, str]]) -> list[str]:
    return sorted(found["local"] for found in addresses if found["scope"] == "global")


def _connect(link: links.PodLink, address: str, port: int, source: str = "", wait: float = PATIENCE) -> None:
    def go() -> None:
        bound = (source, 0) if source else None
        socket.create_connection((address, port), wait, source_address=bound).close()

    call_in(namespace_path(link.namespace), go)


@pytest.mark.parametrize(("first", "second"), [("10.244.0.1", "10.244.0.2"), ("fd00::1", "fd00::2")])
def test_pods_of_a_node_reach_each_other(first: str, second: str) -> None:
    with machine.fabric(1) as fabric:
        one, two = _link(fabric, "1", first), _link(fabric, "2", second)
        _add(fabric, one)
        _add(fabric, two)
        bracketed = f"[{second}]" if ":" in second else second
        with open_listener(namespace_path(two.namespace), f"{bracketed}:0") as listener:
            _connect(one, second, listener.getsockname()[1])


def test_neighbours_are_permanent_so_there_is_nothing_to_spoof() -> None:
    with machine.fabric(1) as fabric:
        link = _link(fabric, "1", "10.244.0.1")
        _add(fabric, link)
        node = fabric.node("node-1", 1).namespace
        shown = machine.ip(node, "neigh", "show", "dev", link.name)
        assert shown.split() == ["10.244.0.1", "lladdr", pod_mac("1"), "PERMANENT"]
        assert f"lladdr {links.HOST_MAC} PERMANENT" in machine.ip(link.namespace, "neigh")


def test_adding_and_deleting_may_be_repeated() -> None:
    with machine.fabric(1) as fabric:
        link = _link(fabric, "1", "10.244.0.1", "fd00::1")
        node = fabric.node("node-1", 1).namespace
        _add(fabric, link)
        before = _links(node), _links(link.namespace)
        _add(fabric, link)
        assert (_links(node), _links(link.namespace)) == before
        for _ in range(2):
            call_in(namespace_path(node), lambda: links.delete("1"))
            assert not call_in(namespace_path(node), lambda: links.exists("1"))
        assert "10.244.0.1" not in machine.ip(node, "route")
        assert "eth0" not in machine.ip(link.namespace, "link")


def test_a_link_whose_other_end_is_gone_is_made_anew() -> None:
    with machine.fabric(1) as fabric:
        link = _link(fabric, "1", "10.244.0.1")
        _add(fabric, link)
        again = links.PodLink(uid="1", namespace=link.namespace + "b", addresses=link.addresses)
        namespaces.create(again.namespace)  # the pod's namespace was made anew, the old one still exists
        _add(fabric, again)
        assert "10.244.0.1" in machine.ip(again.namespace, "-br", "addr")
        assert "eth0" not in machine.ip(link.namespace, "link")


def test_a_pod_cannot_send_from_anothers_address() -> None:
    with machine.fabric(1) as fabric:
        one, two = _link(fabric, "1", "10.244.0.1"), _link(fabric, "2", "10.244.0.2")
        _add(fabric, one)
        _add(fabric, two)
        machine.ip(one.namespace, "addr", "add", "10.244.0.9/32", "dev", "eth0")
        with open_listener(namespace_path(two.namespace), "10.244.0.2:0") as listener:
            port = listener.getsockname()[1]
            _connect(one, "10.244.0.2", port, "10.244.0.1")
            with pytest.raises(TimeoutError):
                _connect(one, "10.244.0.2", port, "10.244.0.9", wait=0.3)


def test_the_name_is_as_long_as_linux_takes() -> None:
    assert len(link_name("x")) == 15


def test_an_unprivileged_process_may_listen_on_port_80() -> None:
    with machine.fabric(1) as fabric:
        link = _link(fabric, "1", "10.244.0.1")
        _add(fabric, link)
        script = "import socket; socket.create_server(('10.244.0.1', 80))"
        argv = [
            "setpriv",
            "--reuid=300001",
            "--regid=300001",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            script,
        ]
        machine.run("ip", "netns", "exec", link.namespace, *argv)
