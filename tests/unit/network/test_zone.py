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
ZONE = zone.Builder().build({"shop/web": WEB, "shop/db": DB}, PEERS, "Cluster.Local.")


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


def test_an_endpoint_with_a_name_of_its_own_goes_by_it() -> None:
    named = msgspec.structs.replace(DB, hostnames=(("10.244.0.5", "first"),))
    names = zone.Builder().build({"shop/db": named}, PEERS).names
    assert names["first.db.shop.svc.cluster.local"].addresses == ["10.244.0.5"]
    assert "db-0.db.shop.svc.cluster.local" not in names


def test_pods_are_told_by_their_addresses_and_hosts_are_not() -> None:
    assert ZONE.pods == {"10.244.0.5": "shop/db-0"}
    six = zone.Builder().build({}, {"fd00::0:7": Peer(address="fd00::0:7", endpoint="a/b")})
    assert six.pods == {"fd00::7": "a/b"}


def test_what_is_the_same_is_not_made_again() -> None:
    builder = zone.Builder()
    first = builder.build({"shop/web": WEB, "shop/db": DB}, PEERS)
    again = builder.build({"shop/web": WEB, "shop/db": DB}, dict(PEERS))
    assert again == first
    assert all(again.names[name] is records for name, records in first.names.items())


def test_a_pod_of_another_name_behind_a_headless_service_and_another_domain() -> None:
    builder = zone.Builder()
    builder.build({"shop/db": DB}, PEERS)
    renamed = {"10.244.0.5": Peer(address="10.244.0.5", endpoint="shop/other")}
    for peers, domain in ((renamed, "cluster.local"), (renamed, "x.y"), ({}, "x.y")):
        assert builder.build({"shop/db": DB}, peers, domain) == zone.Builder().build(
            {"shop/db": DB}, peers, domain
        )


def test_services_that_share_an_address_share_its_reverse_name() -> None:
    other = ServiceProgram(id="a/also", addresses=("10.96.0.7",))
    builder = zone.Builder()
    for _ in range(2):
        both = builder.build({"shop/web": WEB, "a/also": other}, {})
        assert both.names["7.0.96.10.in-addr.arpa"].ptr == [
            "web.shop.svc.cluster.local",
            "also.a.svc.cluster.local",
        ]


def test_an_ipv6_address_as_a_label() -> None:
    assert zone.dashed("::1") == "0-0-0-0-0-0-0-1"


@pytest.mark.parametrize("address", ["10.244.0.5", "fd00::7", "::"])
def test_a_label_says_the_address_again(address: str) -> None:
    assert zone.undashed(zone.dashed(address)) == address


@pytest.mark.parametrize(
    "label", ["", "web", "10-0-0", "10-0-0-07", "0-0-0-0-0-0-0-01", "10.0.0.7", "1-2-3-4-5-6-7"]
)
def test_other_labels_say_none(label: str) -> None:
    assert zone.undashed(label) == ""


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
