"""The normal forms in force, by id, and the program that those which select an endpoint make of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from tsujiban.policy import mesh, order
from tsujiban.policy.definitions import (
    AuthorizationForm,
    NetworkPolicyForm,
    PeerAuthenticationForm,
    ProfileForm,
    RequestAuthenticationForm,
)
from tsujiban.policy.evaluate import judges_workloads
from tsujiban.policy.items import Item
from tsujiban.policy.program import Authentication, Direction, EndpointProgram, Mesh


class Selecting(StrEnum):
    """What a selector in the index belongs to."""

    POLICY = "policy"
    AUTHORIZATION = "authorization"
    PEER_AUTHENTICATION = "peerauthentication"
    REQUEST_AUTHENTICATION = "requestauthentication"
    SET = "set"


Selector = tuple[Selecting, str]
"""The name of a selector in the index: what it belongs to, and whose it is."""


class InForce:
    """Forms by the ids of their programs. `authentication` holds where no PeerAuthentication does."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication
        self.policies: dict[str, NetworkPolicyForm] = {}
        self.profiles: dict[str, ProfileForm] = {}
        self.authorizations: dict[str, AuthorizationForm] = {}
        self.authentications: dict[str, PeerAuthenticationForm] = {}
        self.tokens: dict[str, RequestAuthenticationForm] = {}
        self.tiers: dict[str, order.TierForm] = dict(order.BUILT_IN)

    def program(self, item: Item, selectors: Iterable[Selector]) -> EndpointProgram:
        """The program of an endpoint that these selectors select."""
        policies: list[NetworkPolicyForm] = []
        authorizations: list[AuthorizationForm] = []
        authentications: list[PeerAuthenticationForm] = []
        tokens: list[RequestAuthenticationForm] = []
        for what, name in selectors:
            match what:
                case Selecting.POLICY:
                    form = self.policies[name]
                    if item.host or judges_workloads(form.program):
                        policies.append(form)
                case Selecting.AUTHORIZATION:
                    authorizations.append(self.authorizations[name])
                case Selecting.PEER_AUTHENTICATION:
                    authentications.append(self.authentications[name])
                case Selecting.REQUEST_AUTHENTICATION:
                    tokens.append(self.tokens[name])
        meshed = item.mesh is not Mesh.NONE
        return EndpointProgram(
            id=item.endpoint,
            node=item.node,
            host=item.host,
            interface=item.interface,
            mac=item.mac,
            addresses=item.addresses,
            identity=item.identity,
            mesh=item.mesh,
            named_ports=item.named_ports,
            ingress=order.arrange(policies, self.tiers, Direction.INGRESS),
            egress=order.arrange(policies, self.tiers, Direction.EGRESS),
            profiles=tuple(f"_profile/{profile}" for profile in item.profiles if self._counts(profile)),
            authentication=(
                mesh.effective_authentication(authentications, self._authentication)
                if meshed
                else Authentication()
            ),
            jwt=mesh.token_rules(tokens) if meshed else (),
            authorization=mesh.authorization_order(authorizations) if meshed else (),
        )

    def _counts(self, profile: str) -> bool:
        """Service accounts' profiles say nothing unless an object defines them."""
        return not profile.startswith("ksa.") or f"_profile/{profile}" in self.profiles
