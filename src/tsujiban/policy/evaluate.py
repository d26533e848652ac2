"""THE definition of what policy means: one flow against the compiled program.

Everything else (nftables, Envoy, the fast bulk evaluator, connectivity) is a compilation of
what stands here and is tested against it. It is therefore written to be read, walks nothing but
the compiled program, and knows no dialect.

A flow is allowed when every layer allows it: the source's egress policy, the destination's
ingress policy, its PeerAuthentication, its AuthorizationPolicy. Each network layer must be
allowed by both posts: the kernel, which sees addresses, and for an endpoint of the mesh its
proxy, which sees the authenticated identity and HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsujiban.policy import failsafes
from tsujiban.policy.authorize import authorize
from tsujiban.policy.clauses import View, first_failure
from tsujiban.policy.flow import Flow, Layer, Post, Verdict
from tsujiban.policy.forwarding import crossings, judges_forwarded
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Mesh,
    MtlsMode,
    NodeState,
    PolicyProgram,
    Rule,
)
from tsujiban.policy.world import World
from tsujiban.resources.protocols import TCP

AUTHENTICATION = "authentication"
FORWARD = {Direction.INGRESS: "forward-ingress", Direction.EGRESS: "forward-egress"}


def evaluate(world: World | NodeState, flow: Flow, post: Post = Post.BOTH) -> Verdict:
    """Judge one flow.

    `world` is what is known: an endpoint that is not in it is not asked (so the state of one
    node gives that node's part of the verdict). `post` asks for what one post alone says.
    """
    if isinstance(world, NodeState):
        world = World(world)
    source = _endpoint(world, flow.source_endpoint, flow.source)
    destination = _endpoint(world, flow.destination_endpoint, flow.destination)
    if source is not None and destination is not None and source.id == destination.id:
        return Verdict(verdict=Action.ALLOW, decided_by=(), layers=())  # never leaves the workload
    layers: list[Layer] = []
    if source is not None and post is not Post.PROXY:
        layers.append(network_layer(world, flow, source, Direction.EGRESS, Post.KERNEL))
    if post is not Post.PROXY:
        for host, direction in crossings(world.guards, source, destination):
            layers.append(forward_layer(world, flow, host, direction))
    if destination is not None:
        layers.append(network_layer(world, flow, destination, Direction.INGRESS, post))
        if post is not Post.KERNEL and has_proxy(destination, flow):
            peer = peer_identity(world, flow, destination)
            layers.append(authentication_layer(destination, flow, peer))
            layers.append(authorize(world, destination, flow, peer))
    return conclude(layers)


def conclude(layers: Sequence[Layer]) -> Verdict:
    """All layers together: one denial denies."""
    for layer in layers:
        if layer.verdict is Action.DENY:
            denied = tuple([layer.rule for layer in layers if layer.verdict is Action.DENY])
            return Verdict(verdict=Action.DENY, decided_by=denied, layers=tuple(layers))
    allowed = tuple([layer.rule for layer in layers if layer.rule])
    return Verdict(verdict=Action.ALLOW, decided_by=allowed, layers=tuple(layers))


def has_proxy(endpoint: EndpointProgram, flow: Flow) -> bool:
    """Whether the endpoint's proxy sees this flow: TCP into a mesh endpoint."""
    return endpoint.mesh is not Mesh.NONE and flow.protocol == TCP


def peer_identity(world: World, flow: Flow, destination: EndpointProgram) -> str:
    """The authenticated identity of the source at the destination's proxy; "" is plaintext, which
    is all that an endpoint outside the mesh, or one with mutual TLS disabled, takes."""
    if destination.mesh is Mesh.NONE or mtls_mode(destination, flow.port) is MtlsMode.DISABLE:
        return ""
    if flow.peer is not None:
        return flow.peer
    if flow.source_endpoint:
        source = world.endpoints.get(flow.source_endpoint)
        return source.identity if source is not None and source.mesh is not Mesh.NONE else ""
    return world.identity(flow.source)


def network_layer(
    world: World, flow: Flow, endpoint: EndpointProgram, direction: Direction, post: Post
) -> Layer:
    """What the network policy of one endpoint says in one direction.

    The proxy stands at the destination only: the egress program is the kernel's alone, and an
    HTTP clause matches only where a proxy will read the request.
    """
    ingress = direction is Direction.INGRESS
    if is_failsafe(world, flow, endpoint, direction):
        return Layer(
            layer=str(direction),
            endpoint=endpoint.id,
            verdict=Action.ALLOW,
            rule=failsafes.RULE,
            post=Post.KERNEL,
        )
    visible = ingress and has_proxy(endpoint, flow)
    answer = None
    if post is not Post.PROXY:
        answer = walk(endpoint, direction, View(world, flow, Post.KERNEL, None, visible))
    if visible and post is not Post.KERNEL and (answer is None or answer.verdict is Action.ALLOW):
        peer = peer_identity(world, flow, endpoint)
        answer = walk(endpoint, direction, View(world, flow, Post.PROXY, peer, True))
    if answer is None:  # asked for a proxy where there is none: it forbids nothing
        return Layer(layer=str(direction), endpoint=endpoint.id, verdict=Action.ALLOW, rule="", post=post)
    return answer


def is_failsafe(world: World, flow: Flow, endpoint: EndpointProgram, direction: Direction) -> bool:
    """Whether a failsafe port of a host endpoint's node lets this pass before any policy is asked."""
    if not endpoint.host:
        return False
    peer = flow.source if direction is Direction.INGRESS else flow.destination
    ports = world.failsafes.of(endpoint.node).of(direction)
    return failsafes.is_open(ports, flow.protocol, flow.port, peer)


def forward_layer(world: World, flow: Flow, host: EndpointProgram, direction: Direction) -> Layer:
    """What a host endpoint says of a packet that its node forwards (Calico's `applyOnForward`)."""
    return walk(host, direction, View(world, flow, Post.KERNEL, None, False), forwarded=True)


def walk(endpoint: EndpointProgram, direction: Direction, view: View, *, forwarded: bool = False) -> Layer:
    """Walk one endpoint's ordered program: stages, tiers, policies, rules, then profiles.

    `forwarded`: the program is a host endpoint's, the packet only passes through. Then policies
    without `applyOnForward` do not count, and what none of the others decides goes on.
    """
    logged: list[str] = []

    def result(action: Action, rule: str) -> Layer:
        return Layer(
            layer=FORWARD[direction] if forwarded else str(direction),
            endpoint=endpoint.id,
            verdict=action,
            rule=rule,
            post=view.post,
            logged=tuple(logged),
        )

    tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
    for stage in stages(endpoint, direction):
        for tier in tiers:
            policies = [world_policy(view.world, name) for name in tier.policies]
            if any(policy is None for policy in policies):
                return result(Action.DENY, tier.default_id)  # a missing policy: fail closed
            enforced = [p for p in policies if p is not None and counts(p, stage, forwarded)]
            if not enforced:
                continue
            decided = _first(_rules(enforced, direction), view, logged)
            if decided is None and stage == NORMAL:
                decided = (tier.default_action, tier.default_id)
            if decided is not None and decided[0] is not Action.PASS:
                return result(*decided)
    if forwarded:
        return result(Action.ALLOW, "")
    for name in endpoint.profiles:
        profile = view.world.policies.get(name)
        if profile is None:
            return result(Action.DENY, endpoint.no_profile_id)
        decided = _first(_rules([profile], direction), view, logged)
        if decided is not None and decided[0] is not Action.PASS:
            return result(*decided)
    return result(Action.DENY, endpoint.no_profile_id)


UNTRACKED, PRE_DNAT, NORMAL = "untracked", "pre-dnat", "normal"


def stages(endpoint: EndpointProgram, direction: Direction) -> tuple[str, ...]:
    """The passes over the tiers. Host endpoints have policies that act before connection
    tracking and before address translation; those have no default action."""
    if not endpoint.host:
        return (NORMAL,)
    if direction is Direction.INGRESS:
        return (UNTRACKED, PRE_DNAT, NORMAL)
    return (UNTRACKED, NORMAL)


def stage_of(policy: PolicyProgram) -> str:
    """In which pass a policy acts."""
    if policy.do_not_track:
        return UNTRACKED
    return PRE_DNAT if policy.pre_dnat else NORMAL


def judges_workloads(policy: PolicyProgram) -> bool:
    """Whether a policy acts on workloads that it selects: one of an early pass is of host endpoints alone."""
    return stage_of(policy) == NORMAL


def counts(policy: PolicyProgram, stage: str, forwarded: bool) -> bool:
    """Whether a policy is enforced in a pass, on forwarded traffic or on an end's own."""
    return not policy.staged and stage_of(policy) == stage and (not forwarded or judges_forwarded(policy))


def world_policy(world: World, name: str) -> PolicyProgram | None:
    """A policy by id; None when the state lacks it."""
    return world.policies.get(name)


def rules_of(policy: PolicyProgram, direction: Direction) -> tuple[Rule, ...]:
    """The rules of one direction."""
    return policy.ingress if direction is Direction.INGRESS else policy.egress


def _rules(policies: list[PolicyProgram], direction: Direction) -> Iterator[Rule]:
    for policy in policies:
        yield from rules_of(policy, direction)


def _first(rules: Iterator[Rule], view: View, logged: list[str]) -> tuple[Action, str] | None:
    for rule in rules:
        if first_failure(rule, view) is not None:
            continue
        if rule.action is not Action.LOG:
            return rule.action, rule.id
        logged.append(rule.id)
    return None


def mtls_mode(endpoint: EndpointProgram, port: int) -> MtlsMode:
    """What the endpoint accepts on a port."""
    return endpoint.authentication.ports.get(port, endpoint.authentication.mode)


def authentication_layer(endpoint: EndpointProgram, flow: Flow, peer: str) -> Layer:
    """PeerAuthentication: plaintext is refused in mode STRICT."""
    authentication = endpoint.authentication
    refused = not peer and mtls_mode(endpoint, flow.port) is MtlsMode.STRICT
    return Layer(
        layer=AUTHENTICATION,
        endpoint=endpoint.id,
        verdict=Action.DENY if refused else Action.ALLOW,
        rule=authentication.port_ids.get(flow.port, authentication.id) if refused else "",
        post=Post.PROXY,
    )


def _endpoint(world: World, name: str, address: str) -> EndpointProgram | None:
    if name:
        return world.endpoints.get(name)
    return world.endpoint(address)
