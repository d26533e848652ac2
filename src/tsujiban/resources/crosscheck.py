"""What is wrong with objects only together: doubles, references to nothing, rules in vain.

Errors are what would leave policy undefined or a policy without its tier. What merely selects
nothing, or names what may still be created, is a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches

from tsujiban.resources import defaults, positions, selectors
from tsujiban.resources.coverage import ClusterRule, cluster_shadowed_by, peers_of, shadowed_by
from tsujiban.resources.findings import Finding, Severity, errors
from tsujiban.resources.inhabitants import NAMESPACE, Inhabitants, of_kind, under
from tsujiban.resources.kinds import calico, cnp, istio, netpol
from tsujiban.resources.kinds.meta import LabelSelector
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.positions import Path
from tsujiban.resources.selector_nodes import Equals, Global, Not
from tsujiban.resources.selectors import Selector

CalicoPolicy = (
    calico.NetworkPolicy
    | calico.GlobalNetworkPolicy
    | calico.StagedNetworkPolicy
    | calico.StagedGlobalNetworkPolicy
)
_CLUSTER_POLICIES = cnp.ClusterNetworkPolicy | cnp.AdminNetworkPolicy | cnp.BaselineAdminNetworkPolicy
_KEPT_PROFILES = ("kns.", "ksa.", "projectcalico-default-allow")


def crosscheck(
    objects: Iterable[LoadedObject],
    *,
    beside: Iterable[LoadedObject] = (),
    tiers: Collection[str] = (),
    warnings: bool = True,
    mesh_namespace: str = "istio-system",
) -> list[Finding]:
    """Findings about `objects` together.

    What exists besides, and is not judged, is in `beside` (for instance endpoints of another
    file) or, tiers alone, by name in `tiers`. Whether something selects nothing is judged only
    when there are workloads to select. Without `warnings`, only errors are looked for, and
    `objects` may hold broken ones (`Loaded.broken`) too.
    """
    objects = list(objects)
    check = _Check(objects, list(beside), tiers, mesh_namespace)
    found = [*check.doubles(), *check.priorities(), *check.tiers()]
    if not warnings:
        return errors(found)
    check.populate()
    return [*found, *check.references(), *check.idle(), *check.shadows()]


def _finding(
    about: LoadedObject, path: Path, code: str, message: str, hint: str = "", *, error: bool = False
) -> Finding:
    place = about.position(path)
    return Finding(
        severity=Severity.ERROR if error else Severity.WARNING,
        code=code,
        message=message,
        hint=hint,
        file=about.file,
        line=about.line(path),
        column=place.column if place.line == about.line(path) else 0,
        object=about.title,
        field=positions.render(path),
    )


class _Check:
    def __init__(
        self,
        objects: Sequence[LoadedObject],
        beside: Sequence[LoadedObject],
        tiers: Collection[str],
        mesh_namespace: str,
    ) -> None:
        self.objects = objects
        self.all = [*objects, *beside]
        self.known_tiers = {*defaults.BUILT_IN_TIERS, *tiers, *(t.name for t in of_kind(self.all, "Tier"))}
        self.mesh_namespace = mesh_namespace
        self.here = Inhabitants(())

    def populate(self) -> None:
        """Take in what there is to select."""
        self.here = Inhabitants(self.all)

    def doubles(self) -> Iterator[Finding]:
        """Two objects of one kind, namespace and name: the later one would silently win."""
        first: dict[tuple[str, str, str], LoadedObject] = {}
        for found in self.objects:
            key = (found.kind.api_version, found.kind.kind, found.name)
            if not found.object.metadata.name:
                continue
            if key in first:
                place = f"{first[key].file}:{first[key].line()}"
                yield _finding(
                    found,
                    ("metadata", "name"),
                    "duplicate-object",
                    f"it is already defined in {place}",
                    error=True,
                )
            first.setdefault(key, found)

    def priorities(self) -> Iterator[Finding]:
        """Two policies of one priority: which comes first is not defined."""
        first: dict[tuple[str, str, int | None], LoadedObject] = {}
        for found in self.objects:
            obj = found.object
            if isinstance(obj, cnp.AdminNetworkPolicy):
                key: tuple[str, str, int | None] = (found.kind.kind, "", obj.spec.priority)
            elif isinstance(obj, cnp.ClusterNetworkPolicy):
                key = (found.kind.kind, obj.spec.tier, obj.spec.priority)
            else:
                continue
            other = first.setdefault(key, found)
            if other is not found and other.name != found.name:
                yield _finding(
                    found,
                    ("spec", "priority"),
                    "same-priority",
                    f"{other.title} has priority {key[2]} too: which comes first is not defined",
                    "give each policy its own priority",
                    error=isinstance(obj, cnp.AdminNetworkPolicy),
                )

    def tiers(self) -> Iterator[Finding]:
        """Policies whose tier does not exist: they would be enforced nowhere."""
        for found in self.objects:
            if not isinstance(found.object, CalicoPolicy):
                continue
            tier = defaults.tier(found.object.spec)
            if tier not in self.known_tiers:
                near = get_close_matches(tier, sorted(self.known_tiers), n=1)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"there are {', '.join(sorted(self.known_tiers))}"
                )
                yield _finding(
                    found, ("spec", "tier"), "no-such-tier", f"there is no tier {tier!r}", hint, error=True
                )

    def references(self) -> Iterator[Finding]:
        """Profiles, service accounts and services that rules and endpoints name."""
        profiles = {found.name for found in of_kind(self.all, "Profile")}
        services = {found.name for found in of_kind(self.all, "Service")}
        accounts = {*self.here.accounts, *self.here.used_accounts}
        account_names = {name.partition("/")[2] for name in accounts} | {"default"}
        for found in self.objects:
            obj = found.object
            if isinstance(obj, calico.HostEndpoint | calico.WorkloadEndpoint):
                for index, name in enumerate(obj.spec.profiles):
                    if name not in profiles and not name.startswith(_KEPT_PROFILES):
                        path: Path = ("spec", "profiles", index)
                        message = f"there is no profile {name!r}: nothing is allowed by it"
                        yield _finding(found, path, "no-such-profile", message)
            if not self.here.has_workloads:
                continue
            for path, entity in _entities(found):
                for index, name in enumerate(
                    entity.service_accounts.names if entity.service_accounts else ()
                ):
                    if name not in account_names:
                        here = (*path, "serviceAccounts", "names", index)
                        message = f"no workload runs as service account {name!r}"
                        yield _finding(found, here, "no-such-service-account", message)
                if entity.services is not None:
                    namespace = entity.services.namespace or defaults.namespace(obj.metadata.namespace)
                    if f"{namespace}/{entity.services.name}" not in services:
                        message = f"there is no service {namespace}/{entity.services.name}"
                        yield _finding(found, (*path, "services"), "no-such-service", message)

    def idle(self) -> Iterator[Finding]:
        """Policies and peers that select nothing."""
        if not self.here.has_workloads:
            return
        for found in self.objects:
            for path, selector, peer in self._selections(found):
                population = self.here.peers if peer else self.here.endpoints
                if not population.any(selector):
                    what = "this peer selects nothing" if peer else "the policy selects no workload"
                    yield _finding(found, path, "selects-nothing", what)

    def _selections(self, found: LoadedObject) -> Iterator[tuple[Path, Selector, bool]]:
        """Every selector of endpoints: its path, itself with its namespace clause, whether a peer's."""
        obj = found.object
        own = selectors.of(Equals(NAMESPACE, defaults.namespace(obj.metadata.namespace)))
        if isinstance(obj, netpol.NetworkPolicy | calico.StagedKubernetesNetworkPolicy):
            yield (
                ("spec", "podSelector"),
                selectors.conjunction(own, selectors.from_label_selector(obj.spec.pod_selector)),
                False,
            )
            yield from _kubernetes_peers(obj.spec, own)
        elif isinstance(obj, CalicoPolicy):
            yield from self._calico(found, obj, own)
        elif isinstance(obj, _CLUSTER_POLICIES):
            yield from _cluster_peers(obj)
        elif isinstance(
            obj, istio.AuthorizationPolicy | istio.PeerAuthentication | istio.RequestAuthentication
        ):
            wanted = obj.spec.selector.match_labels if obj.spec.selector else {}
            if wanted:
                scope = selectors.EVERYTHING if obj.metadata.namespace == self.mesh_namespace else own
                labels = selectors.from_label_selector(LabelSelector(match_labels=wanted))
                yield ("spec", "selector"), selectors.conjunction(scope, labels), False

    def _calico(
        self, found: LoadedObject, obj: CalicoPolicy, own: Selector
    ) -> Iterator[tuple[Path, Selector, bool]]:
        scope = own if found.kind.namespaced else selectors.EVERYTHING
        if isinstance(obj, calico.GlobalNetworkPolicy | calico.StagedGlobalNetworkPolicy):
            scope = _inherited(obj.spec.namespace_selector, "pcns.")
        account = _inherited(obj.spec.service_account_selector, "pcsa.")
        yield (
            ("spec", "selector"),
            selectors.conjunction(scope, selectors.parse(obj.spec.selector), account),
            False,
        )
        for path, entity in _entities(found):
            if not entity.selector and not entity.namespace_selector:
                continue
            peers = selectors.EVERYTHING
            if entity.namespace_selector:
                peers = _inherited(entity.namespace_selector, "pcns.")
            elif found.kind.namespaced:
                peers = own
            field = "selector" if entity.selector else "namespaceSelector"
            yield (*path, field), selectors.conjunction(peers, selectors.parse(entity.selector)), True

    def shadows(self) -> Iterator[Finding]:
        """Rules that an earlier one leaves nothing to."""
        for found in self.objects:
            obj = found.object
            for direction in ("ingress", "egress"):
                if isinstance(obj, CalicoPolicy | calico.Profile):
                    rules = obj.spec.ingress if direction == "ingress" else obj.spec.egress
                    earlier = [shadowed_by(rules, index) for index in range(len(rules))]
                elif isinstance(obj, _CLUSTER_POLICIES):
                    clauses = obj.spec.ingress if direction == "ingress" else obj.spec.egress
                    earlier = [cluster_shadowed_by(clauses, index) for index in range(len(clauses))]
                else:
                    continue
                for index, before in enumerate(earlier):
                    if before is not None:
                        line = found.line(("spec", direction, before))
                        message = f"it can never match: rule {before} (line {line}) takes all that it would"
                        yield _finding(found, ("spec", direction, index), "never-matches", message)


def _inherited(text: str, prefix: str) -> Selector:
    """A selector on the labels of namespaces or accounts, as one on their endpoints' labels."""
    node = selectors.parse(text).node
    if isinstance(node, Global):
        return selectors.of(Not(selectors.parse(f"has({NAMESPACE})").node))
    return selectors.of(under(node, prefix))


def _entities(found: LoadedObject) -> Iterator[tuple[Path, calico.EntityRule]]:
    obj = found.object
    if not isinstance(obj, CalicoPolicy | calico.Profile):
        return
    for direction, rules in (("ingress", obj.spec.ingress), ("egress", obj.spec.egress)):
        for index, rule in enumerate(rules):
            yield ("spec", direction, index, "source"), rule.source
            yield ("spec", direction, index, "destination"), rule.destination


def _pods(namespaces: LabelSelector | None, pods: LabelSelector | None, own: Selector) -> Selector:
    scope = own
    if namespaces is not None:
        scope = selectors.of(under(selectors.from_label_selector(namespaces).node, "pcns."))
        scope = selectors.conjunction(scope, selectors.parse(f"has({NAMESPACE})"))
    return scope if pods is None else selectors.conjunction(scope, selectors.from_label_selector(pods))


def _kubernetes_peers(
    spec: netpol.NetworkPolicySpec | calico.StagedKubernetesNetworkPolicySpec, own: Selector
) -> Iterator[tuple[Path, Selector, bool]]:
    for path, peers in (
        *((("spec", "ingress", i, "from"), rule.from_) for i, rule in enumerate(spec.ingress)),
        *((("spec", "egress", i, "to"), rule.to) for i, rule in enumerate(spec.egress)),
    ):
        for index, peer in enumerate(peers):
            if peer.ip_block is None:
                yield (*path, index), _pods(peer.namespace_selector, peer.pod_selector, own), True


def _cluster_peers(
    obj: cnp.ClusterNetworkPolicy | cnp.AdminNetworkPolicy | cnp.BaselineAdminNetworkPolicy,
) -> Iterator[tuple[Path, Selector, bool]]:
    spec = obj.spec
    nothing = selectors.NOTHING
    if spec.subject is not None:
        pods = spec.subject.pods
        subject = _pods(
            pods.namespace_selector if pods else spec.subject.namespaces,
            pods.pod_selector if pods else None,
            nothing,
        )
        yield ("spec", "subject"), subject, False
    ingress: Sequence[ClusterRule] = spec.ingress
    egress: Sequence[ClusterRule] = spec.egress
    for path, rule in (
        *((("spec", "ingress", i, "from"), rule) for i, rule in enumerate(ingress)),
        *((("spec", "egress", i, "to"), rule) for i, rule in enumerate(egress)),
    ):
        for index, peer in enumerate(peers_of(rule)):
            if peer.namespaces is not None:
                yield (*path, index), _pods(peer.namespaces, None, nothing), True
            elif peer.pods is not None:
                yield (
                    (*path, index),
                    _pods(peer.pods.namespace_selector, peer.pods.pod_selector, nothing),
                    True,
                )
