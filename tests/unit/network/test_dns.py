import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from tsujiban.network import dns as server
from tsujiban.network.zone import Records, Srv, Zone

ZONE = Zone(
    domain="cluster.local",
    networks=["10.96.0.0/16", "fd96::/112"],
    names={
        "web.shop.svc.cluster.local": Records(addresses=["10.96.0.7", "fd96::7"]),
        "db.shop.svc.cluster.local": Records(addresses=["10.244.0.5", "10.244.0.6"]),
        "_http._tcp.web.shop.svc.cluster.local": Records(srv=[Srv(80, "web.shop.svc.cluster.local")]),
        "7.0.96.10.in-addr.arpa": Records(ptr=["web.shop.svc.cluster.local"]),
        "5.0.244.10.in-addr.arpa": Records(ptr=["db-0.db.shop.svc.cluster.local"]),
        "big.shop.svc.cluster.local": Records(addresses=[f"10.1.0.{number}" for number in range(200)]),
    },
    pods={"10.244.0.5": "shop/db-0", "10.244.0.9": "shop/lone", "fd00::9": "shop/lone"},
)
INDEX = server.Index(ZONE)


def _ask(name: str, kind: str = "A", **options: object) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **options)  # type: ignore[arg-type]  # passed through
    parsed = server.parse(query.to_wire())
    assert isinstance(parsed, dns.message.Message)
    response = server.answer(INDEX, parsed)
    assert response is not None
    found = dns.message.from_wire(server.to_wire(response, parsed, udp=False))
    assert query.is_response(found)
    return found


def _answers(response: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in response.answer for rdata in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc.cluster.local", "A", ["10.96.0.7"]),
        ("WEB.shop.SVC.cluster.local", "AAAA", ["fd96::7"]),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", ["0 100 80 web.shop.svc.cluster.local."]),
        ("7.0.96.10.in-addr.arpa", "PTR", ["web.shop.svc.cluster.local."]),
        ("10-244-0-5.shop.pod.cluster.local", "A", ["10.244.0.5"]),
        ("fd00-0-0-0-0-0-0-9.SHOP.pod.cluster.local", "AAAA", ["fd00::9"]),
        ("9.0.244.10.in-addr.arpa", "PTR", ["10-244-0-9.shop.pod.cluster.local."]),
        ("5.0.244.10.in-addr.arpa", "PTR", ["db-0.db.shop.svc.cluster.local."]),
    ],
)
def test_answers(name: str, kind: str, expected: list[str]) -> None:
    response = _ask(name, kind)
    assert _answers(response) == expected
    assert response.flags & dns.flags.AA
    assert {rrset.ttl for rrset in response.answer} == {5}


def test_the_owner_is_written_as_it_was_asked() -> None:
    assert _ask("WeB.shop.svc.cluster.local").answer[0].name.to_text() == "WeB.shop.svc.cluster.local."


def test_srv_brings_addresses_along() -> None:
    additional = _ask("_http._tcp.web.shop.svc.cluster.local", "SRV").additional
    assert [rdata.to_text() for rrset in additional for rdata in rrset] == ["10.96.0.7", "fd96::7"]


def test_addresses_take_turns() -> None:
    firsts = {_answers(_ask("db.shop.svc.cluster.local"))[0] for _ in range(64)}
    assert firsts == {"10.244.0.5", "10.244.0.6"}


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nothing.shop.svc.cluster.local", "A", dns.rcode.NXDOMAIN),
        ("cluster.local", "A", dns.rcode.NOERROR),
        ("svc.cluster.local", "A", dns.rcode.NOERROR),  # a parent of names exists (RFC 8020)
        ("_tcp.web.shop.svc.cluster.local", "A", dns.rcode.NOERROR),
        ("web.shop.svc.cluster.local", "TXT", dns.rcode.NOERROR),
        ("db.shop.svc.cluster.local", "AAAA", dns.rcode.NOERROR),
        ("8.0.96.10.in-addr.arpa", "PTR", dns.rcode.NXDOMAIN),
        ("google.com.shop.svc.cluster.local", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_negative_answers_have_an_soa(name: str, kind: str, code: dns.rcode.Rcode) -> None:
    response = _ask(name, kind)
    assert (response.rcode(), response.answer) == (code, [])
    (soa,) = response.authority
    assert soa.ttl == 5
    assert soa[0].to_text().endswith(" 5")


def test_the_apex_has_an_soa() -> None:
    assert len(_answers(_ask("cluster.local", "SOA"))) == 1


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "notcluster.local",
        "local",
        ".",
        "8.8.8.8.in-addr.arpa",
        "1.2.in-addr.arpa",
        "x.ip6.arpa",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert server.answer(INDEX, dns.message.make_query(name, "A")) is None


@pytest.mark.parametrize("kind", ["ANY", "AXFR"])
def test_what_is_not_done(kind: str) -> None:
    assert _ask("cluster.local", kind).rcode() == dns.rcode.NOTIMP


def test_classes_other_than_internet() -> None:
    assert _ask("cluster.local", rdclass="CH").rcode() == dns.rcode.REFUSED


def test_edns() -> None:
    response = _ask("web.shop.svc.cluster.local", use_edns=0, payload=4096)
    assert (response.edns, response.payload) == (0, server.MAX_UDP)
    assert _ask("web.shop.svc.cluster.local").edns == -1
    assert _ask("web.shop.svc.cluster.local", use_edns=1).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize(("payload", "limit"), [(None, 512), (1000, 1000), (65000, 1232), (1, 512)])
def test_udp_answers_are_cut_to_size(payload: int | None, limit: int) -> None:
    query = dns.message.make_query(
        "big.shop.svc.cluster.local", "A", use_edns=-1 if payload is None else 0, payload=payload or 0
    )
    response = server.answer(INDEX, query)
    assert response is not None
    wire = server.to_wire(response, query, udp=True)
    assert len(wire) <= limit
    short = dns.message.from_wire(wire)
    assert short.flags & dns.flags.TC
    assert not short.answer
    assert len(_answers(dns.message.from_wire(server.to_wire(response, query, udp=False)))) == 200


def test_a_refusal_repeats_the_question() -> None:
    query = dns.message.make_query("example.com", "A")
    assert query.is_response(server.refuse(query))
    assert server.refuse(query).rcode() == dns.rcode.REFUSED


def _header(**fields: int) -> bytes:
    return server._HEADER.pack(7, fields.get("flags", 0), fields.get("questions", 0), 0, 0, 0)


@pytest.mark.parametrize(
    "data", [b"", b"x" * 11, dns.message.make_response(dns.message.make_query("a", "A", id=7)).to_wire()]
)
def test_no_answer_to_what_is_no_question(data: bytes) -> None:
    assert server.parse(data) is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_header(questions=1), dns.rcode.FORMERR),
        (_header(), dns.rcode.FORMERR),
        (_header(flags=dns.opcode.to_flags(dns.opcode.NOTIFY)), dns.rcode.NOTIMP),
        (_header(flags=dns.opcode.to_flags(dns.opcode.UPDATE), questions=1), dns.rcode.FORMERR),
        (dns.message.make_query("a.", "A", id=7).to_wire() + b"trailing", dns.rcode.FORMERR),
    ],
)
def test_errors_are_short(data: bytes, code: dns.rcode.Rcode) -> None:
    response = server.parse(data)
    assert isinstance(response, bytes)
    assert len(response) == 12
    assert response[:2] == data[:2]
    assert response[3] & 0xF == code
    assert response[2] & 0x80


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("shop.pod.cluster.local", dns.rcode.NOERROR),  # there are names below it
        ("pod.cluster.local", dns.rcode.NOERROR),
        ("10-244-0-5.other.pod.cluster.local", dns.rcode.NXDOMAIN),
        ("10-244-0-7.shop.pod.cluster.local", dns.rcode.NXDOMAIN),
        ("10-244-0-05.shop.pod.cluster.local", dns.rcode.NXDOMAIN),
        ("web.pod.cluster.local", dns.rcode.NXDOMAIN),
        ("x.10-244-0-5.shop.pod.cluster.local", dns.rcode.NXDOMAIN),
    ],
)
def test_a_pod_has_its_namespaces_name_and_no_other(name: str, code: dns.rcode.Rcode) -> None:
    response = _ask(name)
    assert response.rcode() == code
    assert not response.answer
