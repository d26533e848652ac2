"""Deltas that arrive while one is being enforced are taken together: the newest is what counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.program import EndpointProgram, NodeDelta, NodeState, PolicyProgram, Rule, Side


def touched(state: NodeState, deltas: Iterable[NodeDelta]) -> set[str] | None:
    """The endpoints of this node that any of `deltas` (already applied to `state`) may concern.

    None: all of them.
    """
    found: set[str] = set()
    policies: set[str] = set()
    sets: set[str] = set()
    for delta in deltas:
        if delta.full or delta.peers or delta.services:
            return None
        found |= delta.endpoints.keys()
        policies |= delta.policies.keys() | delta.authorizations.keys()
        sets |= delta.sets.keys()
    if sets:
        policies |= {name for name, policy in state.policies.items() if sets & sets_of(policy)}
    for name, endpoint in state.endpoints.items():
        if policies & policies_of(endpoint):
            found.add(name)
    return found


def policies_of(endpoint: EndpointProgram) -> set[str]:
    """Ids of all policies, profiles and authorizations that an endpoint names."""
    tiers = (*endpoint.ingress, *endpoint.egress)
    named = {policy for tier in tiers for policy in tier.policies}
    return named | set(endpoint.profiles) | set(endpoint.authorization)


def sets_of(policy: PolicyProgram) -> set[str]:
    """Ids of all sets that a policy's rules name."""
    found: set[str] = set()
    for rule in (*policy.ingress, *policy.egress):
        found |= _sets_of_rule(rule)
    return found


def _sets_of_rule(rule: Rule) -> set[str]:
    found: set[str] = set()
    for side in (rule.src, rule.dst):
        found |= {*side.sets, *side.not_sets, *side.services, *_named(side)}
    return found


def _named(side: Side) -> set[str]:
    return {name for ports in (side.ports, side.not_ports) if ports is not None for name in ports.named}
