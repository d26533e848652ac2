from pathlib import Path

import msgspec
import pytest

from tsujiban.network import zone
from tsujiban.policy.program import Backend, Peer, ServicePort, ServiceProgram

WEB = ServiceProgram(
    id="shop/web",
    addresses=("10.96.0.7", "fd96::7"),
    ports=(ServicePort(protocol=6, port=80, name="http"), ServicePort(protocol=17, port=53)),
)
DB = ServiceProgram(
    id="shop/db",
    endpoint_addresses=("10.244.0.5", "10.244.0.6"),
    ports=(
        ServicePort(
            protocol=6,
            port=1,
            name="sql",
            backends=(Backend(address="10.244.0.5", port=5432), Backend(address="10.244.0.6", port=5432)),
        ),
    ),
)
PEERS = {
    "10.244.0.5": Peer(address="10.244.0.5", endpoint="shop/db-0"),
    "172.31.255.11": Peer(address="172.31.255.11", endpoint="host/node-1"),
}
ZONE = zone.build({"shop/web": WEB, "shop/db": DB}, PEERS, "Cluster.Local.")


def test_a_service_has_its_virtual_addresses() -> None:
    assert ZONE.names["web.shop.svc.cluster.local"].addresses == ["10.96.0.7", "fd96::7"]
    assert ZONE.names["7.0.96.10.in-addr.arpa"].ptr == ["web.shop.svc.cluster.local"]


def test_named_ports_have_srv_records() -> None:
    assert ZONE.names["_http._tcp.web.shop.svc.cluster.local"].srv == [
        zone.Srv(80, "web.shop.svc.cluster.local")
    ]
    assert not any(name.startswith("_.") or "_udp" in name for name in ZONE.names)


def test_a_headless_service_has_its_endpoints_by_their_pods_names() -> None:
    assert ZONE.names["db.shop.svc.cluster.local"].addresses == ["10.244.0.5", "10.244.0.6"]
    assert ZONE.names["db-0.db.shop.svc.cluster.local"].addresses == ["10.244.0.5"]
    assert ZONE.names["10-244-0-6.db.shop.svc.cluster.local"].addresses == ["10.244.0.6"]
    targets = [entry.target for entry in ZONE.names["_sql._tcp.db.shop.svc.cluster.local"].srv]
    assert targets == ["db-0.db.shop.svc.cluster.local", "10-244-0-6.db.shop.svc.cluster.local"]
    assert ZONE.names["5.0.244.10.in-addr.arpa"].ptr == ["db-0.db.shop.svc.cluster.local"]


def test_pods_have_names_and_hosts_have_none() -> None:
    assert ZONE.names["10-244-0-5.shop.pod.cluster.local"].addresses == ["10.244.0.5"]
    assert not any("172-31" in name for name in ZONE.names)


def test_a_pod_of_no_service_is_found_by_its_address() -> None:
    lone = zone.build({}, {"10.244.0.9": Peer(address="10.244.0.9", endpoint="a/b")})
    assert lone.names["9.0.244.10.in-addr.arpa"].ptr == ["10-244-0-9.a.pod.cluster.local"]


def test_an_ipv6_address_as_a_label() -> None:
    assert zone.dashed("::1") == "0-0-0-0-0-0-0-1"


def test_writing_is_atomic_readable_and_only_when_needed(tmp_path: Path) -> None:
    path = tmp_path / "dns" / "zone.json"
    assert zone.write(path, ZONE)
    inode = path.stat().st_ino
    assert not zone.write(path, ZONE)
    assert path.stat().st_ino == inode
    assert zone.write(path, zone.Zone(domain="x"))
    assert path.stat().st_ino != inode
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert [entry.name for entry in path.parent.iterdir()] == ["zone.json"]


def test_it_survives_the_file(tmp_path: Path) -> None:
    zone.write(tmp_path / "z", ZONE)
    assert zone.parse((tmp_path / "z").read_bytes()) == ZONE


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"domain": 1}'])
def test_what_is_no_zone(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        zone.parse(content)
