"""Policy to nodes: feeds the policy graph with changes, sends each node its difference, and knows
when a revision is in force everywhere.

"Enforced" is a promise to whoever waits for it, so it is counted strictly: a node that has
something outstanding at or below a revision has not enforced it, and a node that is registered
but not connected has not either.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

import msgspec
import structlog

from tsujiban.controller import nodechecks, podrefs
from tsujiban.controller.loop import Change
from tsujiban.controller.world import NODES, PODS, Json, Ref, World
from tsujiban.policy import providers, revocation
from tsujiban.policy.graph import Change as GraphChange
from tsujiban.policy.graph import PolicyGraph
from tsujiban.policy.population import Key as GraphKey
from tsujiban.resources import revoked
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import decode
from tsujiban.resources.registry import KINDS
from tsujiban.wire.messages import Enforced, PodsDelta, Policy, ToNode

log = structlog.get_logger(__name__)

Send = Callable[[str, ToNode], Awaitable[None]]
SignList = Callable[[Iterable[int]], str]

_FILES = {
    ("", "configmaps"): "configmaps",
    ("", "secrets"): "secrets",
}  # what volumes and variables are made of


def no_list(_serials: Iterable[int]) -> str:
    """Of a controller that has no authority: its nodes will say that they cannot enforce the list."""
    return ""


class Progress(msgspec.Struct):
    """What one node has been sent and has enforced."""

    connected: bool = False
    sent: int = 0
    enforced: int = 0
    outstanding: tuple[int, ...] = ()  # revisions sent and not acknowledged, ascending
    problems: tuple[str, ...] = ()

    def has(self, revision: int) -> bool:
        """Whether everything up to `revision` is in force at the node."""
        return self.connected and not any(r <= revision for r in self.outstanding) and not self.problems


class Distributor:
    """Holds the policy graph. Used from the control loop's task only."""

    def __init__(self, graph: PolicyGraph, send: Send, sign: SignList = no_list) -> None:
        """`sign` gives the signed list of revoked serial numbers."""
        self.graph = graph
        self._sign = sign
        self.revision = 0
        self.nodes: dict[str, Progress] = {}
        # revision at which the meaning of each policy last changed
        self.written: dict[Ref, int] = {}
        # policies whose status may not say what is true now
        self.unsettled: set[Ref] = set()
        self.moved = False  # what policies select may have changed since this was last put down
        self._send = send
        self._pods: dict[str, dict[str, Json]] = {}  # node -> namespace/name -> pod

    async def observe(self, world: World, changes: Sequence[Change]) -> None:
        """Take a batch of changes in, and send what it means to the nodes that it concerns."""
        # Never the same number twice: the loop learns its own writes before older ones of others, so the
        # store's revision may stand still, and one acknowledgement must not be taken for two deltas.
        self.revision = max(self.revision + 1, max(change.revision for change in changes))
        self._register(changes)
        self.graph.apply(self._policy_changes(changes))
        for name, node in self.nodes.items():
            if node.connected:
                await self._send_policy(name, node)
        for name, delta in self._pod_deltas(world, changes).items():
            if self.nodes.get(name, _ABSENT).connected:
                await self._send(name, delta)

    def expect(self, name: str) -> None:
        """A node's stream has begun; what it must have follows (see `connected`)."""
        node = self.nodes.setdefault(name, Progress())
        node.connected, node.outstanding = True, (self.revision,)

    def is_connected(self, name: str) -> bool:
        """Whether a node's stream is up."""
        return self.nodes.get(name, _ABSENT).connected

    async def connected(self, world: World, name: str) -> None:
        """A node's stream has begun: send everything."""
        node = self.nodes.setdefault(name, Progress())
        node.connected, node.outstanding, node.problems = True, (self.revision,), ()
        self.unsettled.update(self.written)
        await self._send(name, Policy(delta=self.graph.snapshot(name, self.revision)))
        node.sent = self.revision
        pods = self._pods.get(name, {})
        await self._send(name, self._pods_message(world, pods, dict.fromkeys(pods), full=True))

    def disconnected(self, name: str) -> None:
        """A node's stream has ended."""
        if name in self.nodes:
            self.nodes[name].connected = False
            self.unsettled.update(self.written)

    def enforced(self, name: str, message: Enforced) -> None:
        """A node acknowledges a revision (and, with it, all earlier ones)."""
        node = self.nodes.get(name)
        if node is None:
            return  # it was deleted, and does not know yet
        node.problems = nodechecks.shown(message.problems)
        if not message.problems:
            node.enforced = max(node.enforced, message.revision)
            node.outstanding = tuple(r for r in node.outstanding if r > message.revision)

    def count(self, revision: int) -> tuple[int, int]:
        """(nodes on which `revision` is in force, nodes there are)."""
        return sum(node.has(revision) for node in self.nodes.values()), len(self.nodes)

    def selected(self, ref: Ref) -> int:
        """How many endpoints a policy selects."""
        return self.graph.selected(_key(ref))

    def recount(self) -> None:
        """Have every policy's status looked at: what it selects may have changed."""
        self.moved = False
        self.unsettled.update(self.written)

    def _register(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.ref[:2] == NODES:
                if change.new is None:
                    self.nodes.pop(change.ref.name, None)
                else:
                    self.nodes.setdefault(change.ref.name, Progress())
                if (change.new is None) != (change.old is None):
                    self.unsettled.update(self.written)

    def _policy_changes(self, changes: Iterable[Change]) -> list[GraphChange]:
        found: list[GraphChange] = []
        for change in changes:
            kind = _GRAPH_KINDS.get(change.ref[:2])
            if kind is None or (kind.kind == "ConfigMap" and _key(change.ref) not in _CONFIG_MAPS):
                continue
            if change.old is not None and change.new is not None and _same(change.old, change.new):
                continue
            if change.new is None and kind.kind in POLICY_KINDS:
                self.written.pop(change.ref, None)
                self.unsettled.discard(change.ref)
            elif kind.kind in POLICY_KINDS:
                self.written[change.ref] = self.revision
                self.unsettled.add(change.ref)
            else:
                self.moved = True
            obj = None if change.new is None else self._read(change.ref, change.new)
            found.append((_key(change.ref), obj))
        return found

    def _read(self, ref: Ref, raw: Json) -> Object | None:
        """The object; None for one that an older version stored and that is none any more: what is no policy
        cannot be enforced, and is nobody, until it is written anew."""
        try:
            return self._signed(decode(raw))
        except msgspec.ValidationError as error:
            if _GRAPH_KINDS[ref[:2]].kind in POLICY_KINDS:
                raise
            log.error("a stored object is malformed: it counts as absent", object=str(ref), reason=str(error))
            return None

    def _signed(self, obj: Object) -> Object:
        """The list of revoked certificates with what nodes can verify; anything else as it is."""
        if not isinstance(obj, core.ConfigMap) or obj.metadata.name != revoked.NAME:
            return obj
        serials = revoked.read(obj.data.get(revoked.FIELD, "")).serials
        signed = self._sign(int(one, 16) for one in serials) if serials else ""
        return msgspec.structs.replace(obj, data={**obj.data, revocation.SIGNED: signed})

    async def _send_policy(self, name: str, node: Progress) -> None:
        delta = self.graph.delta(name, self.revision)
        if delta is None:
            return
        node.outstanding = (*node.outstanding, self.revision)
        node.sent = self.revision
        await self._send(name, Policy(delta=delta))

    def _pod_deltas(self, world: World, changes: Iterable[Change]) -> dict[str, PodsDelta]:
        touched: dict[str, dict[str, None]] = {}
        for change in changes:
            if change.ref[:2] != PODS:
                continue
            key = f"{change.ref.namespace}/{change.ref.name}"
            before, after = _place(change.old), _place(change.new)
            if before and before != after:
                self._pods[before].pop(key, None)
                touched.setdefault(before, {})[key] = None
            if after and change.new is not None:
                known = self._pods.setdefault(after, {}).get(key)
                self._pods[after][key] = change.new
                if known is None or not _same_pod(known, change.new):
                    touched.setdefault(after, {})[key] = None
        messages = {
            node: self._pods_message(world, self._pods.get(node, {}), keys) for node, keys in touched.items()
        }
        for change in changes:
            if change.ref[:2] in _FILES:
                self._file_deltas(change, messages)
        return messages

    def _file_deltas(self, change: Change, messages: dict[str, PodsDelta]) -> None:
        """Send a changed ConfigMap or Secret to the nodes whose pods are given it."""
        named = (change.ref.resource, change.ref.name)
        for node, pods in self._pods.items():
            if any(
                key.startswith(change.ref.namespace + "/") and named in podrefs.told(pod["spec"])
                for key, pod in pods.items()
            ):
                found = _Files()
                found.add(change.ref.resource, f"{change.ref.namespace}/{change.ref.name}", change.new)
                messages[node] = found.into(messages.get(node, PodsDelta(pods={})))

    def _pods_message(
        self, world: World, pods: dict[str, Json], keys: Iterable[str], *, full: bool = False
    ) -> PodsDelta:
        wanted: dict[str, bytes | None] = {}
        files = _Files()
        for key in keys:
            pod = pods.get(key)
            wanted[key] = None if pod is None else msgspec.json.encode(pod)
            for plural, name in podrefs.told(pod["spec"]) if pod else ():
                namespace = key.partition("/")[0]
                files.add(plural, f"{namespace}/{name}", world.find(("", plural), namespace, name))
        return files.into(PodsDelta(pods=wanted, full=full))


class _Files:
    """What volumes and variables are made of, on its way to a node. Of a Secret only its values: a node has
    no use for the annotations, in which clients keep copies of old ones."""

    def __init__(self) -> None:
        self._config_maps: dict[str, bytes | None] = {}
        self._secrets: dict[str, dict[str, bytes] | None] = {}

    def add(self, plural: str, key: str, found: Json | None) -> None:
        """An object, or that there is none."""
        if plural == "secrets":
            self._secrets[key] = None if found is None else _values(found)
        else:
            self._config_maps[key] = None if found is None else msgspec.json.encode(found)

    def into(self, message: PodsDelta) -> PodsDelta:
        """The message with all of it."""
        return msgspec.structs.replace(
            message,
            config_maps={**message.config_maps, **self._config_maps},
            secrets={**message.secrets, **self._secrets},
        )


def _values(secret: Json) -> dict[str, bytes]:
    """The values of a Secret. One that is no base64 (stored before that was looked at) is left out."""
    found: dict[str, bytes] = {}
    for key, value in (secret.get("data") or {}).items():
        with suppress(binascii.Error, ValueError):
            found[key] = base64.b64decode(value)
    return found


POLICY_KINDS = frozenset(
    {
        "NetworkPolicy", "GlobalNetworkPolicy", "ClusterNetworkPolicy", "AdminNetworkPolicy",
        "BaselineAdminNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy",
        "StagedKubernetesNetworkPolicy", "AuthorizationPolicy", "PeerAuthentication",
        "RequestAuthentication",
    }
)  # fmt: skip
_OTHER_KINDS = frozenset(
    {
        "Namespace", "Node", "Pod", "ServiceAccount", "Service", "EndpointSlice", "Tier", "Profile",
        "NetworkSet", "GlobalNetworkSet", "HostEndpoint", "ConfigMap",
    }
)  # fmt: skip
_GRAPH_KINDS = {(k.group, k.plural): k for k in KINDS if k.kind in POLICY_KINDS | _OTHER_KINDS}
_CONFIG_MAPS = frozenset((providers.CONFIG_KEY, revocation.CONFIG_KEY))  # those that are policy
_ABSENT = Progress()


def _same(old: Json, new: Json) -> bool:
    """Whether a change is one of the status or of managed metadata alone; a pod's status does matter."""
    if old["kind"] == "Pod" and old.get("status") != new.get("status"):
        return False
    return all(
        old.get(field) == new.get(field)
        for field in old.keys() | new.keys()
        if field not in ("metadata", "status")
    ) and all(old["metadata"].get(f) == new["metadata"].get(f) for f in ("labels", "annotations", "uid"))


def _key(ref: Ref) -> GraphKey:
    """How the policy graph calls an object."""
    kind = _GRAPH_KINDS[ref[:2]]
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind, ref.namespace, ref.name


_HEAD_OF_PODS = ("labels", "annotations", "deletionTimestamp", "deletionGracePeriodSeconds")


def _same_pod(old: Json, new: Json) -> bool:
    """Whether the node need not hear of it: it wrote the status itself."""
    return bool(old["spec"] == new["spec"] and old["metadata"]["uid"] == new["metadata"]["uid"]) and (
        all(old["metadata"].get(name) == new["metadata"].get(name) for name in _HEAD_OF_PODS)
        and old.get("status", {}).get("podIPs") == new.get("status", {}).get("podIPs")
    )


def _place(pod: Json | None) -> str:
    """The node that a pod is bound to, once it has an address too."""
    if pod is None or not pod.get("status", {}).get("podIP"):
        return ""
    return str(pod["spec"].get("nodeName", ""))
