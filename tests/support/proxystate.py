"""A small world for the proxy's pure tests: a server, two clients in the mesh, one plain pod."""

from __future__ import annotations

from typing import Any

from tsujiban.policy.program import (
    Action,
    AddressSet,
    Backend,
    EndpointProgram,
    Http,
    Member,
    Mesh,
    NodeState,
    PathMatch,
    Peer,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    ServicePort,
    ServiceProgram,
    Side,
    Tier,
)
from tsujiban.proxy.netpolicy import Flow
from tsujiban.proxy.signature import Signature

POD_CIDRS = ("10.244.0.0/16",)
SERVER, CUSTOMER, STRANGER, PLAIN = "10.244.0.1", "10.244.0.2", "10.244.0.3", "10.244.0.4"
READS = Http(methods=("GET",), paths=(PathMatch(prefix="/v1"),))


def identity(name: str) -> str:
    return f"spiffe://t.example/ns/default/sa/{name}"


def port(first: int, last: int | None = None) -> Side:
    return Side(ports=Ports(ranges=(PortRange(first=first, last=last or first),)))


def rule(name: str, action: Action = Action.ALLOW, **clauses: Any) -> Rule:
    return Rule(id=name, action=action, **clauses)


def tier(*policies: str, default: Action = Action.DENY, name: str = "default") -> Tier:
    return Tier(name=name, default_action=default, default_id=f"_tier/{name}", policies=policies)


def state(*rules: Rule, egress: tuple[Rule, ...] | None = None, **program: Any) -> NodeState:
    """The server's policy `p` has these ingress rules, and these egress rules if any are given."""
    world = NodeState(revision=7)
    world.policies["p"] = PolicyProgram(id="p", ingress=rules, egress=egress or ())
    world.policies["all"] = PolicyProgram(id="all", ingress=(rule("all/in"),), egress=(rule("all/out"),))
    clients = {Member(net=CUSTOMER, identity=identity("customer"))}
    world.sets["clients"] = AddressSet(id="clients", members=frozenset(clients))
    for address, name in ((SERVER, "server"), (CUSTOMER, "customer"), (STRANGER, "stranger")):
        world.peers[address] = Peer(
            address=address, endpoint=f"default/{name}", identity=identity(name), mesh=Mesh.SIDECAR
        )
    world.peers[PLAIN] = Peer(address=PLAIN, endpoint="default/plain")
    world.services["default/server"] = ServiceProgram(
        id="default/server",
        addresses=("10.96.0.9",),
        ports=(ServicePort(protocol=6, port=80, backends=(Backend(address=SERVER, port=8080),)),),
    )
    program.setdefault("ingress", (tier("p"),) if rules else ())
    program.setdefault("egress", (tier("p"),) if egress is not None else ())
    world.endpoints["default/server"] = EndpointProgram(
        id="default/server",
        node="n",
        addresses=(SERVER,),
        identity=identity("server"),
        mesh=Mesh.SIDECAR,
        profiles=("all",),
        **program,
    )
    return world


def flow(at: int = 80, **source: Any) -> Flow:
    """A flow between signatures, from one with these fields."""
    return Flow(Signature(version=4, **source), Signature(version=4), at)
