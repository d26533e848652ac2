"""The incremental policy graph: objects in, programs and sets out, at the cost of the change.

The controller feeds it every change of every object; it keeps what each endpoint must enforce
and tells each node what is new for it. Offline commands feed it a folder at once and ask for
the whole. Any order, split or repetition of changes ends in the same state: everything here is
a function of the objects there are, kept current by following references.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

from pyroaring import BitMap

from tsujiban.policy import services
from tsujiban.policy.attachments import Attachments
from tsujiban.policy.claims import Claims
from tsujiban.policy.compile import Form, compile_object
from tsujiban.policy.definitions import (
    NetworkPolicyForm,
    ProfileForm,
    SetDefinition,
)
from tsujiban.policy.dialects.common import Place
from tsujiban.policy.dialects.istio import MeshNames
from tsujiban.policy.heldsets import HeldSets
from tsujiban.policy.index import LabelIndex
from tsujiban.policy.inforce import InForce, Selector
from tsujiban.policy.items import Item, Surroundings
from tsujiban.policy.journal import Journal, Table
from tsujiban.policy.nodeview import NodeView
from tsujiban.policy.population import Key, Population
from tsujiban.policy.program import (
    Authentication,
    EndpointProgram,
    Frozen,
    Mesh,
    MtlsMode,
    NodeDelta,
    NodeState,
    Peer,
    ServiceProgram,
    ServiceSet,
)
from tsujiban.policy.providers import CONFIG_KEY, Providers
from tsujiban.policy.standing import Standing, selector_of
from tsujiban.policy.tables import put
from tsujiban.resources.kinds import calico, core
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.registry import kind_for

Change = tuple[Key, Object | LoadedObject | None]
_POLICY_KINDS = ("Policy", "Authentication", "Profile")  # how the names of kinds with a normal form end


class GraphDelta(Frozen, frozen=True):
    """What one `apply` changed, false when nothing did: then no node needs a delta."""

    changed: tuple[tuple[Table, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed)


def key_of(obj: Object) -> Key:
    """The key of an object: (`Kind.group`, namespace, name). The group keeps apart the two kinds
    called NetworkPolicy. Raises UnknownKind."""
    kind = kind_for(obj.api_version, obj.kind)
    namespace = (obj.metadata.namespace or "default") if kind.namespaced else ""
    return (f"{kind.kind}.{kind.group}" if kind.group else kind.kind, namespace, obj.metadata.name)


class PolicyGraph:
    """The objects of a cluster, compiled.

    `offline` is for the analysis of files: pods without an address count under a stand-in,
    finished pods count, and plaintext is accepted where no PeerAuthentication says otherwise,
    because files do not say who outside the cluster speaks TLS.

    Without `labelled` every workload takes part in the mesh by `default_mesh`, whatever labels say.
    """

    def __init__(
        self,
        trust_domain: str = "cluster.local",
        default_mesh: Mesh = Mesh.SIDECAR,
        *,
        offline: bool = False,
        authentication: Authentication | None = None,
        labelled: bool = True,
    ) -> None:
        self._mesh_names = MeshNames(trust_domain)
        usual = Authentication(mode=MtlsMode.PERMISSIVE if offline else MtlsMode.STRICT)
        self._in_force = InForce(authentication or usual)
        self._population = Population(Surroundings(trust_domain, default_mesh, offline, labelled))
        self._index: LabelIndex[Selector] = LabelIndex()
        self._node_index: LabelIndex[Selector] = LabelIndex()
        self._objects: dict[Key, Object] = {}
        self._forms: dict[Key, Form] = {}
        self._attachments = Attachments()
        self._providers = Providers()
        self._by_node: dict[str, set[str]] = defaultdict(set)
        self._views: dict[str, NodeView] = {}
        self._endpoint_items = BitMap()
        self._dirty_endpoints: set[str] = set()
        self._dirty_services: set[str] = set()
        self._noted: set[tuple[Table, str]] = set()

        self.journal = Journal()
        note_set = partial(self._note, Table.SETS)
        self._held = HeldSets(self._population, self._index, self._node_index, note_set)
        self.sets = self._held.states
        self._standing = Standing(self._in_force, self._index, self._held, self._note, self._touch_item)
        self.programs = self._standing.programs
        self.authorizations = self._standing.authorizations
        self.endpoints: dict[str, EndpointProgram] = {}
        self._claims = Claims(self.endpoints)
        self.peers: dict[str, Peer] = {}
        self.services: dict[str, ServiceProgram] = {}

    # ------------------------------------------------------------------ what callers use

    def apply(self, changes: Iterable[Change]) -> GraphDelta:
        """Take in changed objects; None removes one. Kinds that policy does not look at are
        passed over.

        Raises ValueError for objects that validation would have refused; all other changes are
        then in force, and what was known of those objects before.
        """
        self._noted = set()
        refused: list[str] = []
        policies: list[tuple[Key, Object | LoadedObject | None]] = []
        for key, value in changes:
            key = _full_key(key, value)
            if key[0].partition(".")[0].endswith(_POLICY_KINDS):
                policies.append((key, value))
            else:
                self._change(key, value)
        self._settle_items()  # selectors choose where to be filed by what there is
        for key, value in policies:
            try:
                self._change(key, value)
            except ValueError as error:
                refused.append(f"{' '.join(filter(None, key))}: {error}")
        self._settle()
        if refused:
            raise ValueError("; ".join(refused))
        return GraphDelta(changed=tuple(sorted(self._noted)))

    def snapshot(self, node: str, revision: int) -> NodeDelta:
        """Everything that a node needs. The next `delta` of this node goes on from here."""
        view = self._views[node] = NodeView(node)
        return view.snapshot(self, revision)

    def delta(self, node: str, revision: int) -> NodeDelta | None:
        """What changed for a node since its last `snapshot` or `delta`; None when nothing did.
        A node that had no snapshot, or fell too far behind, gets everything."""
        view = self._views.get(node)
        if view is None:
            return self.snapshot(node, revision)
        try:
            return view.delta(self, revision)
        except LookupError:
            return self.snapshot(node, revision)

    def forget(self, node: str) -> None:
        """Forget what a node was sent."""
        self._views.pop(node, None)

    def state(self) -> NodeState:
        """The whole cluster as if it were one node."""
        state = NodeState()
        state.endpoints = dict(self.endpoints)
        state.policies = dict(self.programs)
        state.authorizations = dict(self.authorizations)
        state.peers = dict(self.peers)
        state.services = dict(self.services)
        for name, found in self.sets.items():
            compiled = found.compiled()
            if isinstance(compiled, ServiceSet):
                state.service_sets[name] = compiled
            else:
                state.sets[name] = compiled
        return state

    def endpoints_on(self, node: str) -> frozenset[str]:
        """Ids of the endpoints of a node."""
        return frozenset(self._by_node.get(node, ()))

    def sets_of(self, policy: str) -> tuple[str, ...]:
        """Ids of the sets that a policy's or profile's rules refer to."""
        form = self._in_force.policies.get(policy) or self._in_force.profiles.get(policy)
        return tuple(form.sets) if form is not None else ()

    def definition(self, name: str) -> SetDefinition | None:
        """What a set is, for people."""
        state = self.sets.get(name)
        return None if state is None else state.definition

    def form(self, policy: str) -> NetworkPolicyForm | None:
        """The normal form of a network policy, by policy id."""
        return self._in_force.policies.get(policy)

    def selected(self, key: Key) -> int:
        """How many endpoints a policy selects by its selector; 0 for what is no policy."""
        form = self._forms.get(key)
        if form is None or isinstance(form, ProfileForm):
            return 0
        return self._index.matched(selector_of(form)).intersection_cardinality(self._endpoint_items)

    def labels(self, endpoint: str) -> dict[str, str]:
        """Effective labels of an endpoint; empty for one that does not exist."""
        found = self._population.endpoint(endpoint)
        return {} if found is None else found[1].labels

    def objects(self) -> Iterator[Object]:
        """The objects there are."""
        return iter(self._objects.values())

    # ------------------------------------------------------------------ changes of objects

    def _change(self, key: Key, value: Object | LoadedObject | None) -> None:
        loaded = value if isinstance(value, LoadedObject) else None
        new = value.object if isinstance(value, LoadedObject) else value
        old = self._objects.get(key)
        if old == new and (loaded is None or old is None):
            return
        if new is not None and loaded is None:
            loaded = LoadedObject(kind_for(new.api_version, new.kind), new, {})
        form = None if new is None else compile_object(new, Place(loaded), self._mesh_names)
        form = self._providers.resolved(key, self._attachments.resolved(key, form))
        put(self._objects, key, new)
        self._population.change(key, old, new)
        match new if new is not None else old:
            case core.Service():
                self._dirty_services.add(f"{key[1]}/{key[2]}")
                for attached, found in self._attachments.change(f"{key[1]}/{key[2]}", new):
                    self._change_form(attached, self._providers.resolved(attached, found))
            case core.ConfigMap() if key == CONFIG_KEY:
                for asking, custom in self._providers.change(new):
                    self._change_form(asking, custom)
            case core.EndpointSlice():
                self._dirty_services.update(self._held.change_slice(key, old, new))
            case calico.Tier():
                self._standing.change_tier(key[2], new)
        self._change_form(key, form)

    def _change_form(self, key: Key, form: Form | None) -> None:
        before = self._forms.get(key)
        if before != form:
            put(self._forms, key, form)
            self._standing.replace(before, form)

    # ------------------------------------------------------------------ settling

    def _settle(self) -> None:
        """Follow all references from what changed."""
        self._settle_items()
        for service in sorted(self._dirty_services):
            self._settle_service(service)
        self._dirty_services.clear()
        for endpoint in self._dirty_endpoints:
            self._settle_endpoint(endpoint)
        self._dirty_endpoints.clear()
        for table, name in self._noted:
            self.journal.append((table, name))
            if table is Table.SETS and name in self.sets:
                self.sets[name].trim()
        self.journal.trim()

    def _settle_items(self) -> None:
        for number, old, new in self._population.settle():
            self._settle_item(number, old, new)

    def _settle_item(self, number: int, old: Item | None, new: Item | None) -> None:
        for item in (old, new):
            if item is not None and item.endpoint:
                self._dirty_endpoints.add(item.endpoint)
        if new is not None and new.endpoint:
            self._endpoint_items.add(number)
        else:
            self._endpoint_items.discard(number)
        index = self._node_index if number in self._population.nodes else self._index
        if new is None:
            self._held.move(index.remove_item(number), old, None)
            return
        gained, lost = index.set_item(number, new.labels)
        self._held.move(lost, old, None)
        self._held.move(gained, None, new)
        if old is not None and (old.members != new.members or old.named_ports != new.named_ports):
            kept = set(index.selectors_of(number)).difference(gained)
            self._held.move(kept, old, new)

    def _settle_service(self, name: str) -> None:
        namespace, _, short = name.partition("/")
        service = self._objects.get(("Service", namespace, short))
        program = None
        if isinstance(service, core.Service):
            program = services.compile_service(service, self._held.slices(name))
        if self.services.get(name) != program:
            put(self.services, name, program)
            self._note(Table.SERVICES, name)
        self._held.refill(name)

    def _settle_endpoint(self, name: str) -> None:
        found = self._population.endpoint(name)
        old = self.endpoints.get(name)
        new = None if found is None else self._in_force.program(found[1], self._index.selectors_of(found[0]))
        if old == new:
            return
        put(self.endpoints, name, new)
        self._note(Table.ENDPOINTS, name)
        if old is not None:
            self._by_node[old.node].discard(name)
        if new is not None:
            self._by_node[new.node].add(name)
        for profile in new.profiles if new is not None else ():
            self._standing.use_profile(profile, 1)
        for profile in old.profiles if old is not None else ():
            self._standing.use_profile(profile, -1)
        for address, peer in self._claims.change(name, old, new):
            if self.peers.get(address) != peer:
                put(self.peers, address, peer)
                self._note(Table.PEERS, address)

    def _touch_item(self, item: int) -> None:
        endpoint = self._population.items[item].endpoint
        if endpoint:
            self._dirty_endpoints.add(endpoint)

    def _note(self, table: Table, name: str) -> None:
        self._noted.add((table, name))


def _full_key(key: Key, value: Object | LoadedObject | None) -> Key:
    """The key with the group, when the caller left it out and the object tells."""
    if isinstance(value, LoadedObject):
        return key_of(value.object)
    return key if value is None else key_of(value)
