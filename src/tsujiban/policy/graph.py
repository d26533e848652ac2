"""The incremental policy graph: objects in, programs and sets out, at the cost of the change.

The controller feeds it every change of every object; it keeps what each endpoint must enforce
and tells each node what is new for it. Offline commands feed it a folder at once and ask for
the whole. Any order, split or repetition of changes ends in the same state: everything here is
a function of the objects there are, kept current by following references.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from enum import StrEnum
from typing import TypeVar

from pyroaring import BitMap

from tsujiban.policy import mesh, order, services
from tsujiban.policy.attachments import Attachments
from tsujiban.policy.compile import Form, compile_object
from tsujiban.policy.definitions import (
    AuthorizationForm,
    NetworkPolicyForm,
    PeerAuthenticationForm,
    ProfileForm,
    RequestAuthenticationForm,
    SetDefinition,
    SetKind,
)
from tsujiban.policy.dialects.common import Place
from tsujiban.policy.dialects.istio import MeshNames
from tsujiban.policy.index import LabelIndex
from tsujiban.policy.items import Item, Surroundings
from tsujiban.policy.journal import Journal, Table
from tsujiban.policy.members import AnyMember, SetState
from tsujiban.policy.nodeview import NodeView
from tsujiban.policy.population import Key, Population
from tsujiban.policy.profiles import default_profile
from tsujiban.policy.program import (
    Authentication,
    AuthzProgram,
    Direction,
    EndpointProgram,
    Frozen,
    Member,
    Mesh,
    MtlsMode,
    NodeDelta,
    NodeState,
    Peer,
    PolicyProgram,
    ServiceMember,
    ServiceProgram,
    ServiceSet,
)
from tsujiban.policy.providers import CONFIG_KEY, Providers
from tsujiban.resources.kinds import calico, core
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.registry import kind_for

Change = tuple[Key, Object | LoadedObject | None]
_POLICY_KINDS = ("Policy", "Authentication", "Profile")  # how the names of kinds with a normal form end

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


class Selecting(StrEnum):
    """What a selector in the index belongs to."""

    POLICY = "policy"
    AUTHORIZATION = "authorization"
    PEER_AUTHENTICATION = "peerauthentication"
    REQUEST_AUTHENTICATION = "requestauthentication"
    SET = "set"


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
        self._authentication = authentication or Authentication(
            mode=MtlsMode.PERMISSIVE if offline else MtlsMode.STRICT
        )
        self._population = Population(Surroundings(trust_domain, default_mesh, offline, labelled))
        self._index: LabelIndex[tuple[Selecting, str]] = LabelIndex()
        self._node_index: LabelIndex[tuple[Selecting, str]] = LabelIndex()
        self._objects: dict[Key, Object] = {}
        self._forms: dict[Key, Form] = {}
        self._attachments = Attachments()
        self._providers = Providers()
        self._policies: dict[str, NetworkPolicyForm] = {}
        self._profiles: dict[str, ProfileForm] = {}
        self._authorization_forms: dict[str, AuthorizationForm] = {}
        self._authentications: dict[str, PeerAuthenticationForm] = {}
        self._tokens: dict[str, RequestAuthenticationForm] = {}
        self._tiers: dict[str, order.TierForm] = dict(order.BUILT_IN)
        self._slices: dict[str, dict[Key, core.EndpointSlice]] = defaultdict(dict)
        self._service_sets: dict[str, set[str]] = defaultdict(set)
        self._profile_users: Counter[str] = Counter()
        self._claims: dict[str, set[str]] = defaultdict(set)  # endpoints by address
        self._by_node: dict[str, set[str]] = defaultdict(set)
        self._views: dict[str, NodeView] = {}
        self._endpoint_items = BitMap()
        self._dirty_endpoints: set[str] = set()
        self._dirty_services: set[str] = set()
        self._noted: set[tuple[Table, str]] = set()

        self.journal = Journal()
        self.sets: dict[str, SetState] = {}
        self.programs: dict[str, PolicyProgram] = {}
        self.endpoints: dict[str, EndpointProgram] = {}
        self.authorizations: dict[str, AuthzProgram] = {}
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
        form = self._policies.get(policy) or self._profiles.get(policy)
        return tuple(form.sets) if form is not None else ()

    def definition(self, name: str) -> SetDefinition | None:
        """What a set is, for people."""
        state = self.sets.get(name)
        return None if state is None else state.definition

    def form(self, policy: str) -> NetworkPolicyForm | None:
        """The normal form of a network policy, by policy id."""
        return self._policies.get(policy)

    def selected(self, key: Key) -> int:
        """How many endpoints a policy selects by its selector; 0 for what is no policy."""
        match self._forms.get(key):
            case NetworkPolicyForm() as form:
                name = (Selecting.POLICY, form.program.id)
            case AuthorizationForm() as form:
                name = (Selecting.AUTHORIZATION, form.program.id)
            case PeerAuthenticationForm() as form:
                name = (Selecting.PEER_AUTHENTICATION, form.id)
            case RequestAuthenticationForm() as form:
                name = (Selecting.REQUEST_AUTHENTICATION, form.id)
            case _:
                return 0
        return self._index.matched(name).intersection_cardinality(self._endpoint_items)

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
        _put(self._objects, key, new)
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
                self._change_slice(key, old, new)
            case calico.Tier():
                self._change_tier(key[2], new)
        self._change_form(key, form)

    def _change_form(self, key: Key, form: Form | None) -> None:
        before = self._forms.get(key)
        if before != form:
            _put(self._forms, key, form)
            self._replace(before, form)

    def _change_slice(self, key: Key, old: Object | None, new: Object | None) -> None:
        if isinstance(old, core.EndpointSlice):
            service = services.service_of(old)
            self._dirty_services.add(service)
            self._slices[service].pop(key, None)
        if isinstance(new, core.EndpointSlice):
            service = services.service_of(new)
            self._dirty_services.add(service)
            self._slices[service][key] = new

    def _change_tier(self, name: str, tier: Object | None) -> None:
        form = order.compile_tier(tier) if isinstance(tier, calico.Tier) else order.BUILT_IN.get(name)
        if form == self._tiers.get(name):
            return
        _put(self._tiers, name, form)
        for policy in self._policies.values():
            if policy.tier == name:
                self._touch(Selecting.POLICY, policy.program.id)

    def _replace(self, old: Form | None, new: Form | None) -> None:
        """Put one form in the place of another. New sets are taken before old ones are let go,
        so that what both need is not computed again."""
        if isinstance(new, NetworkPolicyForm | ProfileForm):
            for name, definition in new.sets.items():
                self._acquire(name, definition)
        if not self._update_in_place(old, new):
            if old is not None:
                self._detach(old)
            if new is not None:
                self._attach(new)
        if isinstance(old, NetworkPolicyForm | ProfileForm):
            for name in old.sets:
                self._release(name)

    def _update_in_place(self, old: Form | None, new: Form | None) -> bool:
        """A policy whose rules alone changed keeps its endpoints' programs as they are."""
        match old, new:
            case NetworkPolicyForm(), NetworkPolicyForm():
                if _standing(old) != _standing(new):
                    return False
                self._policies[new.program.id] = new
                self._set_program(new.program.id, new.program)
                return True
            case AuthorizationForm(), AuthorizationForm():
                same = old.selector is new.selector and old.program.id == new.program.id
                if not same or old.program.action is not new.program.action:
                    return False
                self._authorization_forms[new.program.id] = new
                self.authorizations[new.program.id] = new.program
                self._note(Table.AUTHORIZATIONS, new.program.id)
                return True
        return False

    def _attach(self, form: Form) -> None:
        match form:
            case NetworkPolicyForm():
                name = form.program.id
                self._policies[name] = form
                self._set_program(name, form.program)
                self._select(Selecting.POLICY, name, form)
            case ProfileForm():
                self._profiles[form.program.id] = form
                self._refresh_profile(form.program.id)
            case AuthorizationForm():
                name = form.program.id
                self._authorization_forms[name] = form
                self.authorizations[name] = form.program
                self._note(Table.AUTHORIZATIONS, name)
                self._select(Selecting.AUTHORIZATION, name, form)
            case PeerAuthenticationForm():
                self._authentications[form.id] = form
                self._select(Selecting.PEER_AUTHENTICATION, form.id, form)
            case RequestAuthenticationForm():
                self._tokens[form.id] = form
                self._select(Selecting.REQUEST_AUTHENTICATION, form.id, form)

    def _detach(self, form: Form) -> None:
        match form:
            case NetworkPolicyForm():
                name = form.program.id
                self._unselect(Selecting.POLICY, name)
                del self._policies[name]
                self._set_program(name, None)
            case ProfileForm():
                del self._profiles[form.program.id]
                self._refresh_profile(form.program.id)
            case AuthorizationForm():
                name = form.program.id
                self._unselect(Selecting.AUTHORIZATION, name)
                del self._authorization_forms[name], self.authorizations[name]
                self._note(Table.AUTHORIZATIONS, name)
            case PeerAuthenticationForm():
                self._unselect(Selecting.PEER_AUTHENTICATION, form.id)
                del self._authentications[form.id]
            case RequestAuthenticationForm():
                self._unselect(Selecting.REQUEST_AUTHENTICATION, form.id)
                del self._tokens[form.id]

    def _select(
        self,
        what: Selecting,
        name: str,
        form: NetworkPolicyForm | AuthorizationForm | PeerAuthenticationForm | RequestAuthenticationForm,
    ) -> None:
        for item in self._index.add_selector((what, name), form.selector.node):
            self._touch_item(item)

    def _unselect(self, what: Selecting, name: str) -> None:
        for item in self._index.remove_selector((what, name)):
            self._touch_item(item)

    def _touch(self, what: Selecting, name: str) -> None:
        for item in self._index.matched((what, name)):
            self._touch_item(item)

    def _touch_item(self, item: int) -> None:
        endpoint = self._population.items[item].endpoint
        if endpoint:
            self._dirty_endpoints.add(endpoint)

    def _set_program(self, name: str, program: PolicyProgram | None) -> None:
        if self.programs.get(name) != program:
            _put(self.programs, name, program)
            self._note(Table.POLICIES, name)

    def _refresh_profile(self, name: str) -> None:
        """A profile's program exists while an endpoint names it."""
        form = self._profiles.get(name)
        program = None
        if self._profile_users[name]:
            program = form.program if form is not None else default_profile(name)
        self._set_program(name, program)

    # ------------------------------------------------------------------ sets

    def _acquire(self, name: str, definition: SetDefinition) -> None:
        state = self.sets.get(name)
        if state is None:
            state = self.sets[name] = SetState(definition)
            self._fill(name, state)
            self._note(Table.SETS, name)
        state.users += 1

    def _fill(self, name: str, state: SetState) -> None:
        definition = state.definition
        if definition.kind in (SetKind.SERVICE, SetKind.SERVICE_ADDRESSES):
            self._service_sets[definition.name].add(name)
            state.add(self._service_members(definition))
            return
        index = self._node_index if definition.kind is SetKind.NODES else self._index
        items = self._population.items
        for item in index.add_selector((Selecting.SET, name), definition.selector.node):
            state.add(_members(items[item], definition))
        state.forget_history()

    def _release(self, name: str) -> None:
        state = self.sets[name]
        state.users -= 1
        if state.users:
            return
        del self.sets[name]
        self._note(Table.SETS, name)
        definition = state.definition
        if definition.kind in (SetKind.SERVICE, SetKind.SERVICE_ADDRESSES):
            users = self._service_sets[definition.name]
            users.discard(name)
            if not users:
                del self._service_sets[definition.name]
        else:
            index = self._node_index if definition.kind is SetKind.NODES else self._index
            index.remove_selector((Selecting.SET, name))

    def _service_members(self, definition: SetDefinition) -> Iterable[AnyMember]:
        slices = self._slices.get(definition.name, {}).values()
        if definition.kind is SetKind.SERVICE:
            return services.service_members(slices)
        return frozenset(Member(net=address) for address in services.service_addresses(slices))

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
            self._move(index.remove_item(number), old, None)
            return
        gained, lost = index.set_item(number, new.labels)
        self._move(lost, old, None)
        self._move(gained, None, new)
        if old is not None and (old.members != new.members or old.named_ports != new.named_ports):
            kept = set(index.selectors_of(number)).difference(gained)
            self._move(kept, old, new)

    def _move(self, names: Iterable[tuple[Selecting, str]], old: Item | None, new: Item | None) -> None:
        """In every set among the selectors, put one item's members in the place of another's."""
        for what, name in names:
            if what is not Selecting.SET:
                continue
            state = self.sets[name]
            changed = new is not None and state.add(_members(new, state.definition))
            if old is not None and state.remove(_members(old, state.definition)):
                changed = True
            if changed:
                self._note(Table.SETS, name)

    def _settle_service(self, name: str) -> None:
        namespace, _, short = name.partition("/")
        slices = self._slices.get(name, {})
        service = self._objects.get(("Service", namespace, short))
        program = None
        if isinstance(service, core.Service):
            program = services.compile_service(service, slices.values())
        if self.services.get(name) != program:
            _put(self.services, name, program)
            self._note(Table.SERVICES, name)
        for set_name in self._service_sets.get(name, ()):
            state = self.sets[set_name]
            before, after = set(state.counts), set(self._service_members(state.definition))
            state.add(after - before)
            state.remove(before - after)
            if before != after:
                self._note(Table.SETS, set_name)
        if not slices:
            self._slices.pop(name, None)

    def _settle_endpoint(self, name: str) -> None:
        found = self._population.endpoint(name)
        old = self.endpoints.get(name)
        new = None if found is None else self._program(*found)
        if old == new:
            return
        _put(self.endpoints, name, new)
        self._note(Table.ENDPOINTS, name)
        if old is not None:
            self._by_node[old.node].discard(name)
        if new is not None:
            self._by_node[new.node].add(name)
        for profile in new.profiles if new is not None else ():
            self._profile_users[profile] += 1
            self._refresh_profile(profile)
        for profile in old.profiles if old is not None else ():
            self._profile_users[profile] -= 1
            self._refresh_profile(profile)
        self._settle_addresses(name, old, new)

    def _settle_addresses(self, name: str, old: EndpointProgram | None, new: EndpointProgram | None) -> None:
        before = set(old.addresses) if old is not None else set()
        after = set(new.addresses) if new is not None else set()
        for address in before - after:
            self._claims[address].discard(name)
            if not self._claims[address]:
                del self._claims[address]
        for address in after:
            self._claims[address].add(name)
        for address in before | after:
            claims = self._claims.get(address)
            peer = None if not claims else _peer(address, self.endpoints[min(claims)])
            if self.peers.get(address) != peer:
                _put(self.peers, address, peer)
                self._note(Table.PEERS, address)

    def _program(self, number: int, item: Item) -> EndpointProgram:
        policies: list[NetworkPolicyForm] = []
        authorizations: list[AuthorizationForm] = []
        authentications: list[PeerAuthenticationForm] = []
        tokens: list[RequestAuthenticationForm] = []
        for what, name in self._index.selectors_of(number):
            match what:
                case Selecting.POLICY:
                    policies.append(self._policies[name])
                case Selecting.AUTHORIZATION:
                    authorizations.append(self._authorization_forms[name])
                case Selecting.PEER_AUTHENTICATION:
                    authentications.append(self._authentications[name])
                case Selecting.REQUEST_AUTHENTICATION:
                    tokens.append(self._tokens[name])
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
            ingress=order.arrange(policies, self._tiers, Direction.INGRESS),
            egress=order.arrange(policies, self._tiers, Direction.EGRESS),
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
        return not profile.startswith("ksa.") or f"_profile/{profile}" in self._profiles

    def _note(self, table: Table, name: str) -> None:
        self._noted.add((table, name))


def _full_key(key: Key, value: Object | LoadedObject | None) -> Key:
    """The key with the group, when the caller left it out and the object tells."""
    if isinstance(value, LoadedObject):
        return key_of(value.object)
    return key if value is None else key_of(value)


def _standing(form: NetworkPolicyForm) -> tuple[object, ...]:
    """What of a policy its endpoints' programs depend on."""
    return (form.program.id, form.tier, form.order, form.tie, form.selector.canonical, form.directions)


def _members(item: Item, definition: SetDefinition) -> tuple[AnyMember, ...]:
    """What an item that is selected brings to a set."""
    if definition.kind is not SetKind.NAMED_PORT:
        return item.members
    return tuple(
        ServiceMember(address=address, protocol=protocol, port=port)
        for name, protocol, port in item.named_ports
        if name == definition.name and definition.protocol in (0, protocol)
        for address in item.addresses
    )


def _peer(address: str, endpoint: EndpointProgram) -> Peer:
    return Peer(
        address=address,
        endpoint=endpoint.id,
        identity=endpoint.identity,
        mesh=endpoint.mesh,
        node=endpoint.node,
    )


def _put(table: dict[Name, Value], key: Name, value: Value | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
