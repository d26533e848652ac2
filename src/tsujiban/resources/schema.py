"""What the kinds' structs say about lists and maps, as declarative writers need to know it.

Two writers of one object must agree on what one field is: is a list one value, or are its items told
apart, and by what? Server-side apply, strategic merge patch and the OpenAPI document all ask here.
Source: the `listType`, `listMapKey`, `mapType`, `patchMergeKey` and `patchStrategy` markers of
Kubernetes' API reference. A list without a rule is one value.
"""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Any

import msgspec

from tsujiban.resources import shape
from tsujiban.resources.kinds import core, parts, volumes
from tsujiban.resources.registry import Kind


class Rule(msgspec.Struct, frozen=True):
    """How a field's value is divided: a list into items with `keys`, or into a set; `atomic` not at all."""

    keys: tuple[str, ...] = ()
    is_set: bool = False
    atomic: bool = False
    merges: bool = True  # by strategic merge patch, too: by the first of the keys
    retain: bool = False  # patchStrategy retainKeys: one of several alternatives
    listed: bool = False  # a list of which we know no more: one value


PLAIN = Rule()
_ATOMIC = Rule(atomic=True)
_LIST = Rule(listed=True)
_SET = Rule(is_set=True)
_BY_NAME = Rule(keys=("name",))
_BY_TYPE = Rule(keys=("type",))

# what a key means that is not written
KEY_DEFAULTS = {"protocol": "TCP"}

# "Struct.field"; "*.field" is for data whose struct we do not know
_RULES: dict[str, Rule] = {
    "ObjectMeta.finalizers": _SET,
    "ObjectMeta.ownerReferences": Rule(keys=("uid",)),
    "ObjectMeta.managedFields": _LIST,
    "IngressSpec.rules": _LIST,
    "IngressSpec.tls": _LIST,
    "PodSpec.containers": _BY_NAME,
    "PodSpec.initContainers": _BY_NAME,
    "PodSpec.ephemeralContainers": _BY_NAME,
    "PodSpec.volumes": Rule(keys=("name",), retain=True),
    "PodSpec.imagePullSecrets": _BY_NAME,
    "PodSpec.hostAliases": Rule(keys=("ip",)),
    "PodSpec.topologySpreadConstraints": Rule(keys=("topologyKey", "whenUnsatisfiable")),
    "PodSpec.schedulingGates": _BY_NAME,
    "PodSpec.resourceClaims": Rule(keys=("name",), retain=True),
    "PodSpec.nodeSelector": _ATOMIC,
    "PodSpec.tolerations": _LIST,
    "PodSpec.readinessGates": _LIST,
    "Container.ports": Rule(keys=("containerPort", "protocol")),
    "Container.env": _BY_NAME,
    "Container.volumeMounts": Rule(keys=("mountPath",)),
    "Container.volumeDevices": Rule(keys=("devicePath",)),
    "Container.envFrom": _LIST,
    "Container.resizePolicy": _LIST,
    "Container.restartPolicyRules": _LIST,
    "PodStatus.podIPs": Rule(keys=("ip",)),
    "PodStatus.conditions": _BY_TYPE,
    "NodeStatus.addresses": _BY_TYPE,
    "NodeStatus.conditions": _BY_TYPE,
    "NodeSpec.podCIDRs": _SET,
    "NodeSpec.taints": _LIST,
    "ServiceSpec.ports": Rule(keys=("port", "protocol")),
    "ServiceSpec.selector": _ATOMIC,
    "ServiceAccount.secrets": _BY_NAME,
    "ServiceAccount.imagePullSecrets": _LIST,
    "ReplicationControllerSpec.selector": _ATOMIC,
    "DeploymentSpec.strategy": Rule(retain=True),
    "EnvVarSource.configMapKeyRef": _ATOMIC,
    "EnvVarSource.fieldRef": _ATOMIC,
    "EnvVarSource.fileKeyRef": _ATOMIC,
    "EnvVarSource.resourceFieldRef": _ATOMIC,
    "EnvVarSource.secretKeyRef": _ATOMIC,
    "HTTPGetAction.httpHeaders": _LIST,
    "StatefulSetSpec.volumeClaimTemplates": _LIST,
    "PodDisruptionBudgetStatus.conditions": _BY_TYPE,
    "*.conditions": _BY_TYPE,
}
# what the kinds keep as plain data, and is nevertheless known
_TYPES: dict[str, Any] = {
    "PodSpec.volumes": tuple[volumes.Volume, ...],
    "PodSpec.securityContext": parts.PodSecurityContext,
    "PodSpec.affinity": parts.Affinity,
    "PodSpec.dnsConfig": parts.PodDNSConfig,
    "PodSpec.tolerations": tuple[parts.Toleration, ...],
    "PodSpec.imagePullSecrets": tuple[parts.LocalObjectReference, ...],
    "PodSpec.hostAliases": tuple[parts.HostAlias, ...],
    "PodSpec.topologySpreadConstraints": tuple[parts.TopologySpreadConstraint, ...],
    "PodSpec.readinessGates": tuple[parts.ReadinessGate, ...],
    "PodSpec.schedulingGates": tuple[parts.SchedulingGate, ...],
    "PodSpec.resources": parts.ResourceRequirements,
    "PodSpec.os": parts.PodOS,
    "Container.resources": parts.ResourceRequirements,
    "Container.securityContext": parts.SecurityContext,
    "Container.lifecycle": parts.Lifecycle,
    "Container.volumeMounts": tuple[volumes.VolumeMount, ...],
    "NodeSpec.taints": tuple[parts.Taint, ...],
    "ServiceSpec.sessionAffinityConfig": parts.SessionAffinityConfig,
    "ServiceAccount.secrets": tuple[core.ObjectReference, ...],
    "ServiceAccount.imagePullSecrets": tuple[parts.LocalObjectReference, ...],
}
_ATOMIC_STRUCTS = frozenset({"LabelSelector", "ObjectReference"})
# kinds that Kubernetes has built in; the others are custom resources to it, which know no strategic merge
_BUILT_IN = frozenset(
    (
        "apps",
        "authentication",
        "authorization",
        "batch",
        "certificates",
        "core",
        "disruption",
        "ingress",
        "storage",
        "netpol",
        "rbac",
    )
)


def built_in(kind: Kind) -> bool:
    """Whether Kubernetes has the kind itself, so that clients may send strategic merge patches."""
    return kind.module in _BUILT_IN


class Schema(msgspec.Struct, frozen=True):
    """The type of a value, without None, and the rule of the field that it stands in."""

    type: Any
    rule: Rule = PLAIN

    @property
    def struct(self) -> type[msgspec.Struct] | None:
        """The struct that the value is of, if it is known."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, msgspec.Struct) else None

    @property
    def atomic(self) -> bool:
        """Whether the value, although it has parts, is one value."""
        struct = self.struct
        return self.rule.atomic or (struct is not None and struct.__name__ in _ATOMIC_STRUCTS)


def of(kind: Kind) -> Schema:
    """The schema of whole objects."""
    return Schema(kind.type)


ANY = Schema(Any)
KNOWN_FIELDS = 8192  # that are remembered: clients make names up, too


def field(schema: Schema, name: str) -> Schema:
    """The schema of a field of a struct, or of a value of a map."""
    struct = schema.struct
    if struct is not None:
        return _field(struct, name)
    if typing.get_origin(schema.type) is dict:
        return Schema(_plain(typing.get_args(schema.type)[1]))
    rule = _RULES.get(f"*.{name}")
    return Schema(Any, rule) if rule is not None else ANY


def is_list(schema: Schema) -> bool:
    """Whether the value is a list."""
    rule = schema.rule
    return typing.get_origin(schema.type) in (tuple, list) or bool(rule.keys) or rule.is_set or rule.listed


def item(schema: Schema) -> Schema:
    """The schema of the items of a list."""
    if typing.get_origin(schema.type) in (tuple, list):
        return Schema(_plain(typing.get_args(schema.type)[0]))
    return ANY


@lru_cache(KNOWN_FIELDS)
def _field(struct: type[msgspec.Struct], name: str) -> Schema:
    found = _TYPES.get(f"{struct.__name__}.{name}") or shape.fields(struct).get(name)
    rules = (_RULES.get(f"{base.__name__}.{name}") for base in struct.__mro__)
    rule = next((rule for rule in rules if rule is not None), None)
    if rule is None and found in (None, Any):
        rule = _RULES.get(f"*.{name}")
    return Schema(Any if found is None else _plain(found), rule or PLAIN)


def _plain(found: Any) -> Any:
    """The type without None."""
    if typing.get_origin(found) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(found) if option is not type(None)]
        return options[0] if len(options) == 1 else typing.Union[tuple(options)]  # noqa: UP007 - made of a list
    return found
