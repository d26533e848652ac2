"""One direction's program as a list of steps, narrowed to what a flow carries.

Endpoints that have the same tiers and profiles share a chain. For each protocol and port that
comes, a chain works out once which of its rules are possible at all and in what order; what is
left for each flow is to ask those about its ends, down to the first that matches. What steps
cannot express (services, ports of the source) is asked of the definition's own test.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from tsujiban.policy.bulk.asked import Asked, Carried
from tsujiban.policy.bulk.places import Places
from tsujiban.policy.flow import Layer, Post
from tsujiban.policy.program import Action, Direction, Http, Icmp, Rule, Tier
from tsujiban.policy.world import World
from tsujiban.resources.protocols import ICMP, ICMPV6

Key = tuple[Direction, tuple[Tier, ...], tuple[str, ...], str]
"""Direction, tiers, profiles, and the id of the denial when no profile matches."""


class Outcome:
    """What a layer says, whoever's layer it is."""

    __slots__ = ("action", "denies", "final", "layer", "logged", "post", "proxied", "rule", "text")

    def __init__(
        self, layer: str, action: Action, rule: str, post: Post, logged: tuple[str, ...] = ()
    ) -> None:
        self.layer = layer
        self.action = action
        self.rule = rule
        self.post = post
        self.logged = logged
        self.denies = action is Action.DENY
        self.final = self.denies or action is Action.ALLOW
        self.proxied: Outcome = self  # the same, said by the proxy
        self.text: tuple[bytes, bytes, bytes] | None = None  # what `lines` makes of it

    def of(self, endpoint: str) -> Layer:
        """The layer of an endpoint."""
        return Layer(
            layer=self.layer,
            endpoint=endpoint,
            verdict=self.action,
            rule=self.rule,
            post=self.post,
            logged=self.logged,
        )

    def with_logged(self, logged: Iterable[str]) -> Outcome:
        """The same, after rules that log."""
        found = Outcome(self.layer, self.action, self.rule, self.post, tuple(logged))
        if self.proxied is not self:
            found.proxied = self.proxied.with_logged(logged)
        return found


class Extra:
    """What a step asks that is not a set or condition of one end."""

    __slots__ = ("asks", "http", "named", "request")

    def __init__(self, rule: Rule | None, named: tuple[str, ...], http: int, request: Http | None) -> None:
        self.asks = rule  # a rule that the definition must be asked about
        self.named = named  # sets of named ports; the destination must be in one
        self.http = http  # number of the HTTP clause
        self.request = request  # the HTTP clause; None: there is none


Step = tuple[int | None, int | None, Extra | None, Outcome, int]
"""What the source must satisfy, and the destination; the rest; what is then said; for a Pass, the
number of the step to go on with."""


class Plan:
    """What is left of a chain for flows that carry the same. The last step always matches."""

    __slots__ = ("certain", "reads", "steps")

    def __init__(self, steps: tuple[Step, ...], reads: bool) -> None:
        first = steps[0]
        sure = first[0] is None and first[1] is None and first[2] is None and first[3].final
        self.certain = first[3] if sure else None  # what is said whatever the ends are
        self.steps = steps
        self.reads = reads  # whether the proxy's plan is another one, because it reads requests


class View(IntEnum):
    """Whose eyes a chain is walked with."""

    BLIND = 0  # the kernel's, where no proxy follows
    KERNEL = 1  # the kernel's, before a proxy
    PROXY = 2


class Part:
    """A rule, taken apart; shared by the chains that hold it."""

    __slots__ = ("_http", "_known", "_odd", "destination", "outcomes", "rule", "source")

    def __init__(self, rule: Rule, outcome: Outcome, places: Places, http: int, world: World) -> None:
        self.rule = rule
        self.outcomes = (outcome, outcome, outcome.proxied)  # by view
        self._http = http  # number of its HTTP clause
        self._known: dict[tuple[int, View], Step | None] = {}
        self._odd = _is_odd(rule, world)
        self.source = self.destination = None
        try:
            self.source, self.destination = places.need(rule.src), places.need(rule.dst)
        except LookupError:
            self._odd = True

    def step(self, asked: Asked, view: View) -> Step | None:
        """The rule as a step for what is carried; None: it cannot match."""
        key = (asked.number, view)
        if key not in self._known:
            self._known[key] = self._step(asked.carried, view)
        return self._known[key]

    def forget(self) -> None:
        """Forget all steps."""
        self._known.clear()

    def _step(self, carried: Carried, view: View) -> Step | None:
        rule = self.rule
        if not _carries(rule, carried):
            return None
        extra = None
        if self._odd:
            extra = Extra(rule, (), 0, None)
        else:
            named = _named(rule, carried)
            if named is None or (rule.http is not None and view is View.BLIND):
                return None
            request = None if view is View.KERNEL and self.reads() else rule.http
            if named or request is not None:
                extra = Extra(None, named, self._http, request)
        return self.source, self.destination, extra, self.outcomes[view], 0

    def reads(self) -> bool:
        """Whether it is the proxy who decides if the rule allows."""
        return self.rule.http is not None and self.rule.action is Action.ALLOW


def _is_odd(rule: Rule, world: World) -> bool:
    """Whether only the definition can say if a rule matches."""
    src, dst = rule.src, rule.dst
    if src.services or dst.services or src.ports or src.not_ports or rule.ip_version:
        return True
    if dst.not_ports is not None and dst.not_ports.named:
        return True
    names = () if dst.ports is None else dst.ports.named
    return any(name not in world.state.service_sets for name in names)


def _carries(rule: Rule, carried: Carried) -> bool:
    """Protocol and ICMP type."""
    protocol = carried.protocol
    if rule.protocols and protocol not in rule.protocols:
        return False
    if rule.not_protocols and protocol in rule.not_protocols:
        return False
    if rule.icmp is not None and not _is_icmp(rule.icmp, carried):
        return False
    return rule.not_icmp is None or not _is_icmp(rule.not_icmp, carried)


def _is_icmp(icmp: Icmp, carried: Carried) -> bool:
    if carried.protocol not in (ICMP, ICMPV6):
        return False
    return icmp.type in (None, carried.icmp_type) and icmp.code in (None, carried.icmp_code)


def _named(rule: Rule, carried: Carried) -> tuple[str, ...] | None:
    """The sets of named ports of which the destination must be in one; None: it cannot match."""
    ports, not_ports, port = rule.dst.ports, rule.dst.not_ports, carried.port
    numbered = carried.protocol not in (ICMP, ICMPV6)
    if not_ports is not None and numbered and any(r.first <= port <= r.last for r in not_ports.ranges):
        return None
    if ports is None:
        return ()
    if not numbered:
        return None
    if any(r.first <= port <= r.last for r in ports.ranges):
        return ()
    return ports.named or None


Group = tuple[list[Part], Outcome | None]
"""The rules of one tier or profile, and what is said when none of them matches (None: nothing)."""


class Chain:
    """The steps of one direction's program, for whatever flows carry."""

    __slots__ = ("_groups", "_reads", "blind", "proxied", "seen")

    def __init__(self, groups: list[Group]) -> None:
        self._groups = groups
        self._reads = any(part.reads() for parts, _ in groups for part in parts)
        # plans by the number of what is carried
        self.blind: dict[int, Plan] = {}
        http = any(part.rule.http is not None for parts, _ in groups for part in parts)
        self.seen: dict[int, Plan] = {} if http else self.blind
        self.proxied: dict[int, Plan] = {}

    def forget(self) -> None:
        """Forget all plans."""
        for plans in (self.blind, self.seen, self.proxied):
            plans.clear()

    def plan(self, asked: Asked, view: View) -> Plan:
        """The plan for flows that carry the same; remembered."""
        steps: list[Step] = []
        for parts, default in self._groups:
            start, passes, ended = len(steps), False, False
            for part in parts:
                step = part.step(asked, view)
                if step is None:
                    continue
                outcome = step[3]
                passes = passes or outcome.action is Action.PASS
                sure = step[0] is None and step[1] is None and step[2] is None
                if not (sure and outcome.action is Action.PASS):
                    steps.append(step)
                if sure and outcome.action is not Action.LOG:
                    ended = True
                    break
            if not ended and (default is None or default.action is Action.PASS):
                passes = True
            elif not ended and default is not None:
                steps.append((None, None, None, default if view is not View.PROXY else default.proxied, 0))
            for at in range(start, len(steps)):
                if steps[at][3].action is Action.PASS:
                    steps[at] = (*steps[at][:4], len(steps))
            if not passes:
                break
        plan = Plan(tuple(steps), self._reads)
        (self.blind, self.seen, self.proxied)[view][asked.number] = plan
        return plan
