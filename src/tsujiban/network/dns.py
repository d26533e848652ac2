"""Question in, answer out: the DNS of pods, without a socket.

Authoritative for the cluster's domain and the reverse names of its networks; everything else is
left to the caller (`None`). Never an answer to what cannot be a question, so that two servers
cannot be made to talk to each other.

Sources: RFC 1035, 2308 (negative answers), 6891 (EDNS), 8482 (ANY), 2782 (SRV); Kubernetes
DNS-Based Service Discovery 1.1.0.
"""

from __future__ import annotations

import ipaddress
import struct

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tsujiban.network.zone import Records, Zone, dashed, undashed

TTL = 5  # seconds; also of negative answers
MAX_UDP = 1232  # bytes; what fits every path without fragments (DNS flag day 2020)
PLAIN_UDP = 512  # bytes, without EDNS
_HEADER = struct.Struct("!HHHHHH")


class Index:
    """A zone prepared for questions: which names exist, also as parents of others."""

    def __init__(self, zone: Zone) -> None:
        self._names = zone.names
        self._pods = zone.pods
        self._domain = zone.domain
        self._networks = [ipaddress.ip_network(entry) for entry in zone.networks]
        self._parents = {zone.domain}
        for name in zone.names:
            self._add_parents(name)
        for namespace in {pod.partition("/")[0] for pod in zone.pods.values()}:
            self._add_parents(f"*.{namespace}.pod.{zone.domain}")

    def _add_parents(self, name: str) -> None:
        parent = name.partition(".")[2]
        while parent and parent not in self._parents:
            self._parents.add(parent)
            parent = parent.partition(".")[2]

    def records(self, name: str) -> Records | None:
        """What a name has; None when it does not exist."""
        found = self._names.get(name) or self._pod(name)
        if found is None and name in self._parents:
            return Records()
        return found

    def _pod(self, name: str) -> Records | None:
        """What a name has because a pod has its address: `10-0-0-7.NAMESPACE.pod.DOMAIN`, reverse names."""
        address = str(_reversed(name) or "")
        if address in self._pods:
            namespace = self._pods[address].partition("/")[0]
            return Records(ptr=[f"{dashed(address)}.{namespace}.pod.{self._domain}"])
        label, _, rest = name.partition(".")
        namespace, _, zone = rest.partition(".")
        address = undashed(label) if zone == f"pod.{self._domain}" else ""
        if address not in self._pods or self._pods[address].partition("/")[0] != namespace:
            return None
        return Records(addresses=[address])

    def apex(self, name: str) -> str:
        """The zone of ours that holds `name`: the domain or a reverse zone; "" when none does."""
        if name == self._domain or name.endswith("." + self._domain):
            return self._domain
        address = _reversed(name)
        if address is not None and any(
            address.version == net.version and address in net for net in self._networks
        ):
            return "in-addr.arpa" if address.version == 4 else "ip6.arpa"
        return self._domain if name in self._names or str(address) in self._pods else ""


def _reversed(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    labels = name.split(".")[::-1]
    try:
        if labels[:2] == ["arpa", "in-addr"] and len(labels) == 6:
            return ipaddress.IPv4Address(".".join(labels[2:]))
        if labels[:2] == ["arpa", "ip6"] and len(labels) == 34:
            return ipaddress.IPv6Address(int("".join(labels[2:]), 16))
    except ValueError:
        return None
    return None


def parse(data: bytes) -> dns.message.Message | bytes | None:
    """A question; or the error to send back; or None for what deserves no answer."""
    if len(data) < _HEADER.size:
        return None
    identifier, flags = struct.unpack_from("!HH", data)
    if flags & dns.flags.QR:
        return None
    try:
        message = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        return error(identifier, flags, dns.rcode.FORMERR)
    if message.opcode() != dns.opcode.QUERY:
        return error(identifier, flags, dns.rcode.NOTIMP)
    if len(message.question) != 1 or not isinstance(message, dns.message.QueryMessage):
        return error(identifier, flags, dns.rcode.FORMERR)
    return message


def error(identifier: int, flags: int, code: int) -> bytes:
    """A header-only answer."""
    kept = flags & (0x7800 | dns.flags.RD)  # opcode, recursion desired
    return _HEADER.pack(identifier, kept | dns.flags.QR | code, 0, 0, 0, 0)


def answer(index: Index, query: dns.message.Message) -> dns.message.Message | None:
    """The authoritative answer to a parsed question; None when the name is not ours."""
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    apex = index.apex(name)
    if not apex:
        return None
    response = _response(query)
    if response.rcode() != dns.rcode.NOERROR:  # BADVERS
        return response
    if question.rdclass != dns.rdataclass.IN:
        response.set_rcode(dns.rcode.REFUSED)
        return response
    if question.rdtype in (dns.rdatatype.ANY, dns.rdatatype.AXFR, dns.rdatatype.IXFR):
        response.set_rcode(dns.rcode.NOTIMP)
        return response
    response.flags |= dns.flags.AA
    records = index.records(name)
    if records is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    else:
        _fill(index, response, question.name, question.rdtype, records)
        if question.rdtype == dns.rdatatype.SOA and name == apex:
            response.answer.append(_soa(apex))
    if not response.answer:
        response.authority.append(_soa(apex))
    return response


def refuse(query: dns.message.Message, code: dns.rcode.Rcode = dns.rcode.REFUSED) -> dns.message.Message:
    """What a name that is not ours gets when nobody else is to be asked."""
    response = _response(query)
    response.set_rcode(code)
    return response


def to_wire(response: dns.message.Message, query: dns.message.Message, udp: bool) -> bytes:
    """The bytes to send: over UDP cut (TC) to what the client can take.

    The renderer shuffles the records of a name: clients take the first address, and so take turns.
    """
    if not udp:
        return response.to_wire(max_size=65535)
    size = max(PLAIN_UDP, min(query.payload, MAX_UDP)) if query.edns >= 0 else PLAIN_UDP
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        short = _response(query)
        short.set_rcode(response.rcode())
        short.flags = response.flags | dns.flags.TC
        return short.to_wire(max_size=size)


def _response(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=False, our_payload=MAX_UDP)
    if query.edns > 0:
        response.use_edns(0, payload=MAX_UDP)
        response.set_rcode(dns.rcode.BADVERS)
    return response


def _fill(
    index: Index,
    response: dns.message.Message,
    owner: dns.name.Name,
    kind: dns.rdatatype.RdataType,
    records: Records,
) -> None:
    if kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        _append(response.answer, owner, kind, _family(records, kind))
    elif kind == dns.rdatatype.PTR:
        _append(response.answer, owner, kind, [target + "." for target in records.ptr])
    elif kind == dns.rdatatype.SRV:
        texts = [f"0 {100 // len(records.srv)} {entry.port} {entry.target}." for entry in records.srv]
        _append(response.answer, owner, kind, texts)
        for target in dict.fromkeys(entry.target for entry in records.srv):
            found = index.records(target) or Records()
            for extra in (dns.rdatatype.A, dns.rdatatype.AAAA):
                _append(response.additional, dns.name.from_text(target), extra, _family(found, extra))


def _family(records: Records, kind: dns.rdatatype.RdataType) -> list[str]:
    wants6 = kind == dns.rdatatype.AAAA
    return [address for address in records.addresses if (":" in address) == wants6]


def _append(
    section: list[dns.rrset.RRset], owner: dns.name.Name, kind: dns.rdatatype.RdataType, texts: list[str]
) -> None:
    if texts:
        section.append(dns.rrset.from_text_list(owner, TTL, dns.rdataclass.IN, kind, texts))


def _soa(apex: str) -> dns.rrset.RRset:
    text = f"ns.dns.{apex}. hostmaster.{apex}. 1 7200 1800 86400 {TTL}"
    return dns.rrset.from_text(apex + ".", TTL, dns.rdataclass.IN, dns.rdatatype.SOA, text)
