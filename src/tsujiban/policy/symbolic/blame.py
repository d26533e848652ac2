"""The rules that decide a flow, with the places where the user wrote them.

A denial by default has no rule of its own: the policies whose presence causes it are named.
"""

from __future__ import annotations

from collections.abc import Iterator

from tsujiban.policy.authorize import LAYER, authorize
from tsujiban.policy.evaluate import (
    AUTHENTICATION,
    authentication_layer,
    conclude,
    evaluate,
    has_proxy,
    network_layer,
    peer_identity,
)
from tsujiban.policy.flow import Flow, Layer, Post, Verdict
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import AuthzAction, Direction, Frozen, Origin


class RuleRef(Frozen, frozen=True, rename="camel"):
    """One deciding rule, and where it is written."""

    id: str
    verdict: str  # allow, deny
    file: str = ""
    line: int = 0
    because: tuple[str, ...] = ()  # of a default: the policies that select the workload

    @property
    def place(self) -> str:
        """`file:line`, or "" for what is built in."""
        return f"{self.file}:{self.line}" if self.file else ""


class Blame:
    """Asks the definition about flows of one world."""

    def __init__(self, world: OfflineWorld) -> None:
        self._world = world.world
        self._origins: dict[str, Origin] = {}
        for policy in world.world.policies.values():
            for rule in (*policy.ingress, *policy.egress):
                self._origins[rule.id] = rule.origin
        for program in world.world.authorizations.values():
            for one in program.rules:
                self._origins[one.id] = one.origin

    def rules(self, flow: Flow) -> Iterator[RuleRef]:
        """Who decides: those that deny; or, when all allow, each layer's."""
        verdict = self._judged(flow)
        for layer in verdict.layers:
            if layer.rule and layer.rule in verdict.decided_by and layer.verdict is verdict.verdict:
                origin = self._origins.get(layer.rule, Origin())
                because = () if origin.file else tuple(self._because(layer))
                yield RuleRef(
                    id=layer.rule,
                    verdict=str(layer.verdict),
                    file=origin.file,
                    line=origin.line,
                    because=because,
                )

    def _judged(self, flow: Flow) -> Verdict:
        """The definition's verdict. What stands for many pods is judged as two of them."""
        world = self._world
        endpoint = world.endpoints.get(flow.source_endpoint)
        if endpoint is None or flow.source_endpoint != flow.destination_endpoint:
            return evaluate(world, flow)
        layers = [
            network_layer(world, flow, endpoint, Direction.EGRESS, Post.KERNEL),
            network_layer(world, flow, endpoint, Direction.INGRESS, Post.BOTH),
        ]
        if has_proxy(endpoint, flow):
            peer = peer_identity(world, flow, endpoint)
            layers.append(authentication_layer(endpoint, flow, peer))
            layers.append(authorize(world, endpoint, flow, peer))
        return conclude(layers)

    def _because(self, layer: Layer) -> Iterator[str]:
        endpoint = self._world.endpoints.get(layer.endpoint)
        if endpoint is None or layer.layer == AUTHENTICATION:
            return
        if layer.layer == LAYER:
            for name in endpoint.authorization:
                program = self._world.authorizations.get(name)
                if program is not None and program.action is AuthzAction.ALLOW:
                    yield _place(program.id, program.origin)
            return
        tiers = endpoint.ingress if layer.layer == Direction.INGRESS else endpoint.egress
        for tier in tiers:
            if tier.default_id == layer.rule:
                for name in tier.policies:
                    policy = self._world.policies.get(name)
                    if policy is not None and not policy.staged:
                        yield _place(policy.id, policy.origin)


def _place(name: str, origin: Origin) -> str:
    return f"{name} ({origin.file}:{origin.line})" if origin.file else name
