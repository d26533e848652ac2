"""Where a pod may be as far as other pods go: affinity, anti-affinity, and how evenly pods are spread. Pure.

Near is what has the same value of a label of nodes (`topologyKey`). Anti-affinity binds both: who must not be
near others, and those who come after. What was stored before the form of it was checked may have any: what is
none selects no pod.
Source: Kubernetes documentation, "Assigning Pods to Nodes" and "Pod Topology Spread Constraints".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tsujiban.controller.crowds import Crowd, Found
from tsujiban.controller.reconcile import placement, taints
from tsujiban.controller.world import (
    NAMESPACES,
    NODES,
    Json,
    Ref,
    World,
    labels_of,
    mapping,
    mappings,
    pod_terms,
    selects,
    texts,
    whole_or,
)

_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class Wishes:
    """What one pod asks for, looked up in the world once for all nodes."""

    def __init__(self, world: World, ref: Ref, pod: Json) -> None:
        spec, own = pod["spec"], Crowd(ref.namespace, labels_of(pod))
        self._near = _Affinity([_Term.of(one, own) for one in pod_terms(spec, "podAffinity")], world)
        self._apart = {
            place for one in pod_terms(spec, "podAntiAffinity") for place in _Term.of(one, own).found(world)
        }
        self._apart |= _barred(world, own)
        constraints = [
            _Spread(world, ref, pod, one) for one in mappings(spec.get("topologySpreadConstraints"))
        ]
        self._even = [one for one in constraints if one.required]
        self._evenly = [one for one in constraints if not one.required]
        self._liked: Counter[_Place] = Counter()
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
            for entry in mappings(mapping(mapping(spec.get("affinity")).get(kind)).get(_PREFERRED)):
                term = _Term.of(mapping(entry.get("podAffinityTerm")), own)
                for place, number in term.found(world).items():
                    self._liked[place] += sign * whole_or(entry.get("weight"), 0) * number
        self._self = self._near.all_select(own)

    def refusal(self, node: Json) -> str:
        """Why the pod may not be there, as kube-scheduler says it; "" when it may."""
        places = _places(node)
        if not self._near.holds(places, self._self):
            return "didn't match pod affinity rules"
        if not self._apart.isdisjoint(places):
            return "didn't match pod anti-affinity rules"
        if not all(one.holds(node) for one in self._even):
            return "didn't match pod topology spread constraints"
        return ""

    def preference(self, node: Json) -> tuple[int, int]:
        """How much it would like to be there: the weights of those near it, then how few of its kind are."""
        liked = sum(self._liked[place] for place in _places(node)) if self._liked else 0
        return liked, -sum(one.crowd(node) for one in self._evenly)


class _Place(NamedTuple):
    """All nodes with a label."""

    key: str
    value: str


class _Term(NamedTuple):
    """Pods of some namespaces (None: of all), and what is near them."""

    selector: Json | None
    namespaces: frozenset[str] | None
    chooser: Json | None  # a selector of further namespaces
    key: str

    @classmethod
    def of(cls, term: Json, pods: Crowd) -> _Term:
        """As pods say it."""
        said, chosen = term.get("namespaces") or [], term.get("namespaceSelector")
        named, chooser = frozenset(texts(said)), _selector(chosen)
        if not _are_texts(said) or (chooser is None and chosen is not None):
            return cls(None, frozenset(), None, "")
        if chooser is None and not named:
            named = frozenset({pods.namespace})
        selector = _keyed(_selector(term.get("labelSelector")), term, pods.labels)
        everywhere = chooser is not None and not any(chooser.values())
        return cls(selector, None if everywhere else named, chooser, str(term.get("topologyKey") or ""))

    def selects(self, world: World, pods: Crowd) -> bool:
        """Whether it is about them."""
        if not selects(self.selector, pods.labels):
            return False
        if self.namespaces is None or pods.namespace in self.namespaces:
            return True
        space = world.find(NAMESPACES, "", pods.namespace)
        return space is not None and selects(self.chooser, labels_of(space))

    def found(self, world: World) -> Counter[_Place]:
        """Where the pods are that it is about, and how many."""
        places: Counter[_Place] = Counter()
        for _, nodes in self.crowds(world):
            for node, number in nodes.items():
                place = _place_of(world, node, self.key)
                if place is not None:
                    places[place] += number
        return places

    def crowds(self, world: World) -> Iterator[Found]:
        """The pods it is about that have a node."""
        if self.selector is None:
            return
        within = self.namespaces if self.chooser is None and self.namespaces is not None else (None,)
        for namespace in within:
            for pods, nodes in world.crowds(namespace):
                if self.selects(world, pods):
                    yield pods, nodes


class _Affinity:
    """All terms that must hold; only a pod that all are about counts for any."""

    def __init__(self, terms: list[_Term], world: World) -> None:
        self._terms = terms
        self._world = world
        self._places: set[_Place] = set()
        for pods, nodes in terms[0].crowds(world) if terms else ():
            if self.all_select(pods):
                found = (_place_of(world, node, term.key) for term in terms for node in nodes)
                self._places.update(place for place in found if place is not None)

    def all_select(self, pods: Crowd) -> bool:
        """Whether all terms are about them: the first of its kind may be anywhere."""
        return all(term.selects(self._world, pods) for term in self._terms)

    def holds(self, places: set[_Place], own: bool) -> bool:
        """Whether all hold where these labels are; `own`: they are about the pod itself."""
        keys = {place.key: place for place in places}
        if any(term.key not in keys for term in self._terms):
            return False
        if all(keys[term.key] in self._places for term in self._terms):
            return True
        return own and not self._places


class _Spread:
    """One constraint: how many pods of its kind there are in each domain."""

    def __init__(self, world: World, ref: Ref, pod: Json, constraint: Json) -> None:
        spec = pod["spec"]
        self.required = constraint.get("whenUnsatisfiable") != "ScheduleAnyway"
        self._key = str(constraint.get("topologyKey") or "")
        self._skew = max(1, whole_or(constraint.get("maxSkew"), 1))
        selector = _keyed(_selector(constraint.get("labelSelector")), constraint, labels_of(pod))
        affine = constraint.get("nodeAffinityPolicy") != "Ignore"
        tainted = constraint.get("nodeTaintsPolicy") == "Honor"
        self._own = selects(selector, labels_of(pod))
        self._count: Counter[str] = Counter()
        domains: dict[str, str] = {}
        for node_ref, node in world.all(NODES):
            value = _label(node, self._key)
            if (
                value is not None
                and (not affine or placement.wants(node, spec))
                and (not tainted or taints.admits(node, pod))
            ):
                domains[node_ref.name] = value
        for pods, nodes in world.crowds(ref.namespace):
            if not pods.ending and selects(selector, pods.labels):
                for name, number in nodes.items():
                    if name in domains:
                        self._count[domains[name]] += number
        known = set(domains.values())
        few = len(known) < whole_or(constraint.get("minDomains"), 1)
        self._least = 0 if few else min((self._count[domain] for domain in known), default=0)

    def holds(self, node: Json) -> bool:
        """Whether one more there leaves it even enough."""
        value = _label(node, self._key)
        return value is not None and self._count[value] + self._own - self._least <= self._skew

    def crowd(self, node: Json) -> int:
        """How many there are already; where no domain is, more than anywhere."""
        value = _label(node, self._key)
        return max(self._count.values(), default=0) + 1 if value is None else self._count[value]


def _barred(world: World, pods: Crowd) -> set[_Place]:
    """Where those are who must not be near these."""
    found: set[_Place] = set()
    for others, nodes in world.shy():
        for one in others.terms:
            term = _Term.of(one, others)
            if term.selects(world, pods):
                places = (_place_of(world, node, term.key) for node in nodes)
                found.update(place for place in places if place is not None)
    return found


def _places(node: Json) -> set[_Place]:
    return {_Place(key, value) for key, value in placement.labels(node).items()}


def _place_of(world: World, name: str, key: str) -> _Place | None:
    node = world.find(NODES, "", name)
    value = None if node is None else _label(node, key)
    return None if value is None else _Place(key, value)


def _label(node: Json, key: str) -> str | None:
    return placement.labels(node).get(key)


def _keyed(selector: Json | None, term: Json, own: dict[str, str]) -> Json | None:
    """A selector, and that the pods have the same (another) value of some labels as those that ask."""
    if selector is None:
        return None
    more = [
        {"key": key, "operator": operator, "values": [own[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in texts(term.get(field))
        if key in own
    ]
    return {**selector, "matchExpressions": [*selector.get("matchExpressions", ()), *more]}


def _selector(found: Any) -> Json | None:
    """A label selector, if that is what is there."""
    if not isinstance(found, dict):
        return None
    labels, said = found.get("matchLabels") or {}, found.get("matchExpressions") or []
    expressions = mappings(said)
    if labels != mapping(labels) or said != expressions or not all(map(_is_expression, expressions)):
        return None
    read = [{**one, "values": one.get("values") or []} for one in expressions]
    return {"matchLabels": labels, "matchExpressions": read}


def _is_expression(found: Json) -> bool:
    key, operator = found.get("key"), found.get("operator")
    return isinstance(key, str) and operator in _OPERATORS and _are_texts(found.get("values") or [])


def _are_texts(found: Any) -> bool:
    return bool(found == texts(found))
