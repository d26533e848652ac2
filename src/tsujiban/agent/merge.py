"""Deltas that arrive while one is being enforced are taken together: the newest is what counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.program import (
    Action,
    EndpointProgram,
    NodeDelta,
    NodeState,
    PolicyProgram,
    Rule,
)


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


def endangered(state: NodeState, deltas: Iterable[NodeDelta]) -> set[str] | None:
    """The endpoints of which connections may have become illegal in the kernel by `deltas` (already applied
    to `state`). None: all of them.

    The kernel looks at no identity and translates no service address, and whom a rule lets in
    besides is nobody's loss: the usual change, a pod that comes somewhere, endangers nothing.
    """
    found: set[str] = set()
    policies: set[str] = set()
    grown: set[str] = set()
    shrunk: set[str] = set()
    for delta in deltas:
        if delta.full:
            return None
        found |= delta.endpoints.keys()
        policies |= delta.policies.keys()
        for name, change in delta.sets.items():
            whole = change is None or change.full
            if change is None or whole or change.added or change.added_services:
                grown.add(name)
            if change is None or whole or change.removed or change.removed_services:
                shrunk.add(name)
    changed = grown | shrunk
    asking = (
        {name for name, policy in state.policies.items() if changed & sets_of(policy)} if changed else set()
    )
    policies |= {name for name in asking if _may_deny(state.policies[name], grown, shrunk)}
    for name, endpoint in state.endpoints.items():
        # a host endpoint's policies stand in stages, which one reads in order: better once too often
        if (asking | policies if endpoint.host else policies) & policies_of(endpoint):
            found.add(name)
    return found


def _may_deny(policy: PolicyProgram, grown: set[str], shrunk: set[str]) -> bool:
    """Whether some flow may be denied because these sets have grown and shrunk."""
    if policy.staged:
        return False
    for rule in (*policy.ingress, *policy.egress):
        wanted, unwanted = _wanted(rule), _unwanted(rule)
        matches_more = bool(wanted & grown or unwanted & shrunk)
        matches_less = bool(wanted & shrunk or unwanted & grown)
        match rule.action:
            case Action.ALLOW:
                harm = matches_less
            case Action.DENY:
                harm = matches_more
            case Action.LOG:
                harm = False
            case _:
                harm = matches_more or matches_less
        if harm:
            return True
    return False


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
    return _wanted(rule) | _unwanted(rule)


def _wanted(rule: Rule) -> set[str]:
    """Sets that an end of a flow must be in."""
    found: set[str] = set()
    for side in (rule.src, rule.dst):
        found |= {*side.sets, *side.services, *(side.ports.named if side.ports is not None else ())}
    return found


def _unwanted(rule: Rule) -> set[str]:
    """Sets that an end of a flow must not be in."""
    found: set[str] = set()
    for side in (rule.src, rule.dst):
        found |= {*side.not_sets, *(side.not_ports.named if side.not_ports is not None else ())}
    return found
