"""Why a flow is allowed or denied: every layer, tier, policy and rule in order, and what each said.

The decision is `evaluate`'s; this walks the same program with the same clause tests and writes
down what they answer. What it adds is words: which clause failed, what it wanted, what it got,
and where the user wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tsujiban.policy import failsafes
from tsujiban.policy.authorize import CLOSING, Subject, refused_token, rule_failure
from tsujiban.policy.clauses import Clause, View, first_failure
from tsujiban.policy.describe import wanted_and_got
from tsujiban.policy.evaluate import (
    NORMAL,
    has_proxy,
    mtls_mode,
    peer_identity,
    rules_of,
    stage_of,
    stages,
)
from tsujiban.policy.flow import Flow, Layer, Post, Request
from tsujiban.policy.offline import End, OfflineWorld
from tsujiban.policy.program import (
    Action,
    Authentication,
    AuthzAction,
    Direction,
    EndpointProgram,
    Frozen,
    MtlsMode,
    Origin,
    PolicyProgram,
    Rule,
    Tier,
)
from tsujiban.resources import protocols
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import LoadedObject

_CLAUSES = list(Clause)


class RuleStory(Frozen, frozen=True):
    """One rule: matched, or the clause that failed, what it wanted and what it got."""

    id: str
    action: str
    matched: bool
    clause: str = ""
    wanted: str = ""
    got: str = ""
    file: str = ""
    line: int = 0


class PolicyStory(Frozen, frozen=True):
    """One policy that selects the endpoint, and its rules up to the one that matched."""

    id: str
    staged: bool = False
    file: str = ""
    line: int = 0
    rules: tuple[RuleStory, ...] = ()


class TierStory(Frozen, frozen=True):
    """One tier (or the profiles, or the mesh's policies): its policies and how it ended."""

    name: str
    policies: tuple[PolicyStory, ...] = ()
    outcome: str = ""  # allow, deny, pass; "" when it decided nothing
    rule: str = ""


class LayerStory(Frozen, frozen=True):
    """One layer, up to where it was decided."""

    layer: str
    endpoint: str
    verdict: str
    rule: str
    post: str
    tiers: tuple[TierStory, ...] = ()
    note: str = ""


class Explanation(Frozen, frozen=True):
    """The whole story of one flow."""

    source: str
    destination: str
    flow: Flow
    verdict: str
    decided_by: tuple[str, ...]
    layers: tuple[LayerStory, ...]
    differs: tuple[str, ...] = ()  # other pairs that the names stand for, judged otherwise


def explain_objects(
    objects: Iterable[LoadedObject | Object],
    source: str,
    destination: str,
    *,
    namespace: str = "default",
    protocol: int | str = protocols.TCP,
    port: int = 0,
    source_port: int | None = None,
    icmp_type: int | None = None,
    icmp_code: int | None = None,
    request: Request | None = None,
    principal: str | None = None,
    sni: str = "",
    trust_domain: str = "cluster.local",
    strict: bool = True,
) -> Explanation:
    """Explain one flow on a set of objects.

    `source` and `destination` are pods, workloads, services (whose port is then the service's)
    or addresses. Raises offline.UnknownName, and ValueError for an unknown protocol.
    """
    world = OfflineWorld(objects, trust_domain=trust_domain, strict=strict)
    number = protocols.number(protocol)
    if number is None:
        raise ValueError(f"unknown protocol {protocol!r}")
    clauses: dict[str, object] = {
        "protocol": number,
        "source_port": source_port,
        "icmp_type": icmp_type,
        "icmp_code": icmp_code,
        "http": request,
        "peer": principal,
        "sni": sni,
    }
    pairs = [
        (here, there)
        for here in world.ends(source, namespace)
        for there in world.ends(destination, namespace)
        if here.endpoint != there.endpoint or not here.endpoint or source == destination
    ]
    if not pairs:
        pairs = [(world.ends(source, namespace)[0], world.ends(destination, namespace)[0])]
    first = explain(world, *pairs[0], port=port, clauses=clauses)
    differing = []
    for here, there in pairs[1:]:
        flow = _flow(world, here, there, port, clauses)
        judged = world.evaluate(flow)
        if str(judged.verdict) != first.verdict:
            differing.append(f"{here.name} -> {there.name}: {judged.verdict}")
    if not differing:
        return first
    return Explanation(
        source=first.source,
        destination=first.destination,
        flow=first.flow,
        verdict=first.verdict,
        decided_by=first.decided_by,
        layers=first.layers,
        differs=tuple(differing),
    )


def _flow(
    world: OfflineWorld, source: End, destination: End, port: int, clauses: Mapping[str, object]
) -> Flow:
    for protocol, given, target in destination.ports:
        if given == port and protocol == clauses["protocol"] and target:
            port = target
            break
    return world.flow(source, destination, port=port, **clauses)


def explain(
    world: OfflineWorld, source: End, destination: End, *, port: int, clauses: Mapping[str, object]
) -> Explanation:
    """Explain the flow between two ends."""
    flow = _flow(world, source, destination, port, clauses)
    verdict = world.evaluate(flow)
    teller = _Teller(world, flow)
    return Explanation(
        source=source.name,
        destination=destination.name,
        flow=flow,
        verdict=str(verdict.verdict),
        decided_by=verdict.decided_by,
        layers=tuple(teller.layer(layer) for layer in verdict.layers),
    )


class _Teller:
    """Tells the story of the layers of one flow."""

    def __init__(self, offline: OfflineWorld, flow: Flow) -> None:
        self.offline = offline
        self.world = offline.world
        self.flow = flow

    def layer(self, layer: Layer) -> LayerStory:
        endpoint = self.world.endpoints[layer.endpoint]
        tiers: tuple[TierStory, ...] = ()
        note = ""
        match layer.layer:
            case Direction.INGRESS | Direction.EGRESS:
                if layer.rule == failsafes.RULE:
                    note = "a failsafe port: open before any policy is asked"
                else:
                    tiers = self._network(endpoint, Direction(layer.layer), layer)
            case "forward-ingress" | "forward-egress":
                direction = Direction(layer.layer.removeprefix("forward-"))
                tiers = self._network(endpoint, direction, layer, forwarded=True)
                note = "only passes through this node: policies with applyOnForward"
            case "authentication":
                note = self._authentication(endpoint)
            case "authorization":
                tiers, note = self._authorization(endpoint)
        return LayerStory(
            layer=layer.layer,
            endpoint=layer.endpoint,
            verdict=str(layer.verdict),
            rule=layer.rule,
            post=str(layer.post),
            tiers=tiers,
            note=note,
        )

    # ---------------------------------------------------------------- network policy

    def _network(
        self, endpoint: EndpointProgram, direction: Direction, layer: Layer, *, forwarded: bool = False
    ) -> tuple[TierStory, ...]:
        peer = peer_identity(self.world, self.flow, endpoint) if layer.post is Post.PROXY else None
        visible = direction is Direction.INGRESS and not forwarded and has_proxy(endpoint, self.flow)
        view = View(self.world, self.flow, layer.post, peer, visible)
        told: list[TierStory] = []
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        for stage in stages(endpoint, direction):
            for tier in tiers:
                story = self._tier(tier, stage, direction, view, forwarded)
                if story is None:
                    continue
                told.append(story)
                if story.outcome in (Action.ALLOW, Action.DENY):
                    return tuple(told)
        if forwarded:
            return tuple(told)
        told.append(self._profiles(endpoint, direction, view))
        return tuple(told)

    def _tier(
        self, tier: Tier, stage: str, direction: Direction, view: View, forwarded: bool
    ) -> TierStory | None:
        policies = [p for p in map(self.world.policies.get, tier.policies) if p is not None]
        policies = [p for p in policies if stage_of(p) == stage and (p.apply_on_forward or not forwarded)]
        if not policies:
            return None
        stories, decided = self._policies(policies, direction, view)
        if decided is None:
            enforced = any(not policy.staged for policy in policies)
            if not enforced or stage != NORMAL:
                return TierStory(name=tier.name, policies=stories)
            return TierStory(
                name=tier.name, policies=stories, outcome=str(tier.default_action), rule=tier.default_id
            )
        return TierStory(name=tier.name, policies=stories, outcome=str(decided.action), rule=decided.id)

    def _profiles(self, endpoint: EndpointProgram, direction: Direction, view: View) -> TierStory:
        profiles = [p for p in map(self.world.policies.get, endpoint.profiles) if p is not None]
        stories, decided = self._policies(profiles, direction, view)
        if decided is None or decided.action is Action.PASS:
            return TierStory(name="profiles", policies=stories, outcome="deny", rule=endpoint.no_profile_id)
        return TierStory(name="profiles", policies=stories, outcome=str(decided.action), rule=decided.id)

    def _policies(
        self, policies: Sequence[PolicyProgram], direction: Direction, view: View
    ) -> tuple[tuple[PolicyStory, ...], Rule | None]:
        """The policies' stories, and the first rule of an enforced one that decides."""
        stories: list[PolicyStory] = []
        for policy in policies:
            rules, decided = self._rules(rules_of(policy, direction), view)
            stories.append(
                PolicyStory(
                    id=policy.id,
                    staged=policy.staged,
                    file=policy.origin.file,
                    line=policy.origin.line,
                    rules=rules,
                )
            )
            if decided is not None and not policy.staged:
                return tuple(stories), decided
        return tuple(stories), None

    def _rules(self, rules: Iterable[Rule], view: View) -> tuple[tuple[RuleStory, ...], Rule | None]:
        """One story an id: alternatives of one rule of the user's tell the one that came furthest."""
        told: dict[str, tuple[int, RuleStory]] = {}
        for rule in rules:
            failed = first_failure(rule, view)
            rank = len(_CLAUSES) if failed is None else _CLAUSES.index(failed)
            known = told.get(rule.id)
            if known is None or rank > known[0]:
                told[rule.id] = (rank, self._rule(rule, failed, view))
            if failed is None and rule.action is not Action.LOG:
                return tuple(story for _, story in told.values()), rule
        return tuple(story for _, story in told.values()), None

    def _rule(self, rule: Rule, failed: Clause | None, view: View) -> RuleStory:
        wanted, got = ("", "") if failed is None else wanted_and_got(rule, failed, view, self.offline.graph)
        return _story(rule.id, str(rule.action), failed or "", wanted, got, rule.origin)

    # ---------------------------------------------------------------- mesh

    def _authentication(self, endpoint: EndpointProgram) -> str:
        authentication = endpoint.authentication
        name = authentication.port_ids.get(self.flow.port, authentication.id)
        mode = mtls_mode(endpoint, self.flow.port)
        peer = peer_identity(self.world, self.flow, endpoint)
        told = f"the peer is {peer}" if peer else "the peer is plaintext"
        built_in = name == Authentication().id and mode is not MtlsMode.STRICT
        return f"mode {mode}{'' if built_in else f' by {name}'}; {told}"

    def _authorization(self, endpoint: EndpointProgram) -> tuple[tuple[TierStory, ...], str]:
        refused = refused_token(endpoint, self.flow)
        if refused:
            return (), "the token's issuer or audience is not one that is accepted"
        subject = Subject(endpoint, self.flow, peer_identity(self.world, self.flow, endpoint))
        told: list[TierStory] = []
        programs = [p for p in map(self.world.authorizations.get, endpoint.authorization) if p is not None]
        for action in AuthzAction:
            stories: list[PolicyStory] = []
            matched = ""
            for program in programs:
                if program.action is not action:
                    continue
                rules = []
                for rule in program.rules:
                    failed = rule_failure(rule, subject, action in CLOSING)
                    rules.append(_story(rule.id, str(action), failed or "", "", "", rule.origin))
                    if failed is None and not matched and not program.dry_run:
                        matched = rule.id
                stories.append(
                    PolicyStory(
                        id=program.id,
                        staged=program.dry_run,
                        file=program.origin.file,
                        line=program.origin.line,
                        rules=tuple(rules),
                    )
                )
            if not stories:
                continue
            outcome = (
                {AuthzAction.ALLOW: "allow", AuthzAction.AUDIT: ""}.get(action, "deny") if matched else ""
            )
            told.append(TierStory(name=str(action), policies=tuple(stories), outcome=outcome, rule=matched))
            if outcome:
                break
        return tuple(told), "" if programs else "no AuthorizationPolicy selects this workload"


def _story(name: str, action: str, failed: str, wanted: str, got: str, origin: Origin) -> RuleStory:
    return RuleStory(
        id=name,
        action=action,
        matched=not failed,
        clause=str(failed),
        wanted=wanted,
        got=got,
        file=origin.file,
        line=origin.line,
    )
