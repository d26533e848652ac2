"""What a set is, before anybody is in it: its definition, and the id that follows from it.

The id is a hash of the definition, so two policies that ask for the same peers share one set,
and a node that already has it keeps it.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from tsujiban.policy.program import AuthzProgram, Direction, Frozen, JwtRule, MtlsMode, PolicyProgram
from tsujiban.resources import selectors
from tsujiban.resources.selectors import Selector


class SetKind(StrEnum):
    """Where the members come from."""

    ENDPOINTS = "s"  # addresses of endpoints and network sets that a selector selects
    NODES = "h"  # addresses of nodes whose labels a selector selects
    NAMED_PORT = "n"  # (address, protocol, port) of a named port of the endpoints selected
    SERVICE = "v"  # (address, protocol, port) of the ready endpoints of a service
    SERVICE_ADDRESSES = "a"  # their addresses alone


class SetDefinition(Frozen, frozen=True):
    """One set that rules refer to."""

    kind: SetKind
    selector: Selector = selectors.EVERYTHING
    name: str = ""  # of the port; or namespace/name of the service
    protocol: int = 0  # of the port; 0 is any

    @property
    def id(self) -> str:
        """Letter and 16 hexadecimal digits."""
        text = f"{self.selector.canonical}\0{self.name}\0{self.protocol}"
        return str(self.kind) + hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def is_service(self) -> bool:
        """Whether members are (address, protocol, port) triples."""
        return self.kind in (SetKind.NAMED_PORT, SetKind.SERVICE)

    def __str__(self) -> str:
        match self.kind:
            case SetKind.ENDPOINTS:
                return str(self.selector)
            case SetKind.NODES:
                return f"nodes {self.selector}"
            case SetKind.NAMED_PORT:
                return f"port {self.name!r} of {self.selector}"
        return f"service {self.name}"


class Sets:
    """Collects the definitions that one policy refers to."""

    def __init__(self) -> None:
        self.definitions: dict[str, SetDefinition] = {}

    def add(self, definition: SetDefinition) -> str:
        """Remember a definition; returns its id."""
        name = definition.id
        self.definitions[name] = definition
        return name

    def endpoints(self, selector: Selector) -> str:
        """The set of endpoints and network sets that a selector selects."""
        return self.add(SetDefinition(kind=SetKind.ENDPOINTS, selector=selector))

    def named_port(self, name: str, protocol: int, selector: Selector) -> str:
        """The set of a named port, of the endpoints that a selector selects."""
        return self.add(
            SetDefinition(kind=SetKind.NAMED_PORT, selector=selector, name=name, protocol=protocol)
        )


class NetworkPolicyForm(Frozen, frozen=True):
    """The normal form of a network policy of any dialect: program, place in the order, subjects."""

    program: PolicyProgram
    tier: str
    order: float  # infinity is last
    tie: tuple[str, str, str]  # name, namespace, kind
    selector: Selector
    directions: tuple[Direction, ...]
    sets: dict[str, SetDefinition] = msgspec.field(default_factory=dict)


class ProfileForm(Frozen, frozen=True):
    """The normal form of a profile."""

    program: PolicyProgram
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    sets: dict[str, SetDefinition] = msgspec.field(default_factory=dict)


class AuthorizationForm(Frozen, frozen=True):
    """The normal form of an AuthorizationPolicy."""

    program: AuthzProgram
    selector: Selector
    services: tuple[str, ...] = ()  # it is attached to: their pods are selected as well


class PeerAuthenticationForm(Frozen, frozen=True):
    """The normal form of a PeerAuthentication. `scope` 2 is workload, 1 namespace, 0 mesh."""

    id: str
    selector: Selector
    scope: int
    age: tuple[str, str]  # creation time, name: the older of two wins
    mode: MtlsMode | None
    ports: dict[int, MtlsMode | None] = msgspec.field(default_factory=dict)


class RequestAuthenticationForm(Frozen, frozen=True):
    """The normal form of a RequestAuthentication."""

    id: str
    selector: Selector
    rules: tuple[JwtRule, ...] = ()
    services: tuple[str, ...] = ()  # it is attached to: their pods are selected as well
