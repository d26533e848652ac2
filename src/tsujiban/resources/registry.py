"""Every kind that Tsujiban knows: its names, its scope, its shape.

The loader, the API server's paths and the command line's words all look here. A kind's
struct is imported when it is first asked for, so that starting a command stays cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import cast

from tsujiban.resources.kinds.meta import Object

CALICO_GROUPS = ("projectcalico.org", "crd.projectcalico.org")


class Kind:
    """One kind in one API version.

    `versions` holds every apiVersion under which the kind is accepted as the same thing; the
    first is the one it is stored and shown under.
    """

    __slots__ = ("_type", "group", "kind", "module", "namespaced", "plural", "short_names", "versions")

    def __init__(
        self,
        module: str,
        kind: str,
        plural: str,
        versions: tuple[str, ...],
        *,
        namespaced: bool = True,
        short_names: tuple[str, ...] = (),
    ) -> None:
        self.module = module
        self.kind = kind
        self.plural = plural
        self.versions = versions
        self.group = versions[0].rpartition("/")[0]
        self.namespaced = namespaced
        self.short_names = short_names
        self._type: type[Object] | None = None

    @property
    def version(self) -> str:
        """The version part of the apiVersion, e.g. `v3`."""
        return self.versions[0].rpartition("/")[2]

    @property
    def api_version(self) -> str:
        """The apiVersion under which the kind is stored and shown."""
        return self.versions[0]

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()

    @property
    def type(self) -> type[Object]:
        """The struct of the kind."""
        if self._type is None:
            module = import_module(f"tsujiban.resources.kinds.{self.module}")
            self._type = cast("type[Object]", getattr(module, self.kind))
        return self._type

    def __repr__(self) -> str:
        return f"Kind({self.api_version}, {self.kind})"


class UnknownKind(LookupError):
    """No such kind. The message says so; `suggestions` are near ones."""

    def __init__(self, message: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.suggestions = suggestions


def _calico() -> Iterator[Kind]:
    versions = ("projectcalico.org/v3", "crd.projectcalico.org/v1")
    for kind, plural, namespaced, short_names in (
        ("NetworkPolicy", "networkpolicies", True, ("np", "caliconetworkpolicy", "caliconetworkpolicies")),
        ("GlobalNetworkPolicy", "globalnetworkpolicies", False, ("gnp",)),
        ("Tier", "tiers", False, ()),
        ("StagedNetworkPolicy", "stagednetworkpolicies", True, ("snp",)),
        ("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", False, ("sgnp",)),
        ("StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies", True, ("sknp",)),
        ("NetworkSet", "networksets", True, ("netset", "netsets")),
        ("GlobalNetworkSet", "globalnetworksets", False, ("gns",)),
        ("Profile", "profiles", False, ()),
        ("HostEndpoint", "hostendpoints", False, ("hep", "heps")),
        ("WorkloadEndpoint", "workloadendpoints", True, ("wep", "weps")),
        ("IPPool", "ippools", False, ()),
        ("FelixConfiguration", "felixconfigurations", False, ("felixconfig", "felixconfigs")),
        ("KubeControllersConfiguration", "kubecontrollersconfigurations", False, ("kcconfig",)),
    ):
        yield Kind("calico", kind, plural, versions, namespaced=namespaced, short_names=short_names)


def _istio() -> Iterator[Kind]:
    versions = ("security.istio.io/v1", "security.istio.io/v1beta1")
    yield Kind("istio", "AuthorizationPolicy", "authorizationpolicies", versions, short_names=("ap", "authz"))
    yield Kind("istio", "PeerAuthentication", "peerauthentications", versions, short_names=("pa",))
    yield Kind("istio", "RequestAuthentication", "requestauthentications", versions, short_names=("ra",))


def _kubernetes() -> Iterator[Kind]:
    core = ("v1",)
    apps = ("apps/v1",)
    batch = ("batch/v1",)
    yield Kind("core", "Namespace", "namespaces", core, namespaced=False, short_names=("ns",))
    yield Kind("core", "Node", "nodes", core, namespaced=False, short_names=("no",))
    yield Kind("core", "Pod", "pods", core, short_names=("po",))
    yield Kind("core", "ServiceAccount", "serviceaccounts", core, short_names=("sa",))
    yield Kind("core", "Service", "services", core, short_names=("svc",))
    yield Kind("core", "Endpoints", "endpoints", core, short_names=("ep",))
    yield Kind("core", "ConfigMap", "configmaps", core, short_names=("cm",))
    yield Kind("core", "Secret", "secrets", core)
    yield Kind("core", "Event", "events", (*core, "events.k8s.io/v1"), short_names=("ev",))
    yield Kind("core", "Lease", "leases", ("coordination.k8s.io/v1",))
    yield Kind("core", "EndpointSlice", "endpointslices", ("discovery.k8s.io/v1",))
    yield Kind("apps", "ReplicationController", "replicationcontrollers", core, short_names=("rc",))
    yield Kind("apps", "Deployment", "deployments", apps, short_names=("deploy",))
    yield Kind("apps", "StatefulSet", "statefulsets", apps, short_names=("sts",))
    yield Kind("apps", "DaemonSet", "daemonsets", apps, short_names=("ds",))
    yield Kind("apps", "ReplicaSet", "replicasets", apps, short_names=("rs",))
    yield Kind("apps", "ControllerRevision", "controllerrevisions", apps)
    yield Kind("batch", "Job", "jobs", batch)
    yield Kind("batch", "CronJob", "cronjobs", batch, short_names=("cj",))
    yield Kind(
        "disruption", "PodDisruptionBudget", "poddisruptionbudgets", ("policy/v1",), short_names=("pdb",)
    )
    yield Kind(
        "netpol", "NetworkPolicy", "networkpolicies", ("networking.k8s.io/v1",), short_names=("netpol", "np")
    )
    networking = ("networking.k8s.io/v1",)
    yield Kind("ingress", "Ingress", "ingresses", networking, short_names=("ing",))
    yield Kind("ingress", "IngressClass", "ingressclasses", networking, namespaced=False)
    yield Kind("storage", "PersistentVolumeClaim", "persistentvolumeclaims", core, short_names=("pvc",))
    yield Kind(
        "storage", "PersistentVolume", "persistentvolumes", core, namespaced=False, short_names=("pv",)
    )
    yield Kind(
        "cnp",
        "ClusterNetworkPolicy",
        "clusternetworkpolicies",
        ("policy.networking.k8s.io/v1alpha2",),
        namespaced=False,
        short_names=("cnp",),
    )
    yield Kind(
        "cnp",
        "AdminNetworkPolicy",
        "adminnetworkpolicies",
        ("policy.networking.k8s.io/v1alpha1",),
        namespaced=False,
        short_names=("anp",),
    )
    yield Kind(
        "cnp",
        "BaselineAdminNetworkPolicy",
        "baselineadminnetworkpolicies",
        ("policy.networking.k8s.io/v1alpha1",),
        namespaced=False,
        short_names=("banp",),
    )


def _access() -> Iterator[Kind]:
    rbac = ("rbac.authorization.k8s.io/v1",)
    yield Kind("rbac", "Role", "roles", rbac)
    yield Kind("rbac", "ClusterRole", "clusterroles", rbac, namespaced=False)
    yield Kind("rbac", "RoleBinding", "rolebindings", rbac)
    yield Kind("rbac", "ClusterRoleBinding", "clusterrolebindings", rbac, namespaced=False)
    yield Kind(
        "certificates",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        ("certificates.k8s.io/v1",),
        namespaced=False,
        short_names=("csr",),
    )


KINDS: tuple[Kind, ...] = (*_kubernetes(), *_access(), *_calico(), *_istio())

_BY_VERSION = {(version, kind.kind): kind for kind in KINDS for version in kind.versions}
_BY_PLURAL = {(version, kind.plural): kind for kind in KINDS for version in kind.versions}


def kind_for(api_version: str, kind: str) -> Kind:
    """The kind that an object's `apiVersion` and `kind` name.

    Raises UnknownKind.
    """
    found = _BY_VERSION.get((api_version, kind))
    if found is not None:
        return found
    others = tuple(f"{k.api_version} {k.kind}" for k in KINDS if k.kind.lower() == kind.lower())
    if not others:
        near = _near(kind, {k.kind for k in KINDS})
        others = tuple(f"{k.api_version} {k.kind}" for k in KINDS if k.kind in near)
    raise UnknownKind(f"no kind {kind!r} in apiVersion {api_version!r}", others)


_OTHER_GROUPS = frozenset(
    (
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps.openshift.io",
        "autoscaling",
        "cert-manager.io",
        "extensions.istio.io",
        "gateway.networking.k8s.io",
        "monitoring.coreos.com",
        "networking.istio.io",
        "policy",
        "project.openshift.io",
        "route.openshift.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "telemetry.istio.io",
    )
)
_OTHER_KINDS = frozenset(
    (
        ("", "LimitRange"),
        ("", "ResourceQuota"),
        ("extensions", "Ingress"),
    )
)


IDLE = frozenset({"ingress", "storage"})
"""Modules of kinds that are stored, and neither a policy nor an endpoint: nothing here reads them."""


def is_bystander(api_version: str, kind: str) -> bool:
    """Whether objects of this kind are known to be no policy and no endpoint, though we do not have it."""
    group = api_version.rpartition("/")[0]
    return group in _OTHER_GROUPS or (group, kind) in _OTHER_KINDS


def by_plural(group: str, version: str, plural: str) -> Kind:
    """The kind behind an API path; `group` is empty for the core group.

    Raises UnknownKind.
    """
    api_version = f"{group}/{version}" if group else version
    try:
        return _BY_PLURAL[api_version, plural]
    except KeyError:
        raise UnknownKind(f"no resource {plural!r} in {api_version!r}") from None


def resolve(word: str) -> Kind:
    """The kind that a person means: `po`, `networkpolicies`, `GlobalNetworkPolicy`, `np.projectcalico.org`.

    A name that several groups have (`networkpolicy`) is Kubernetes' own unless a group follows
    it. Raises UnknownKind.
    """
    name, _, group = word.lower().partition(".")
    for kind in KINDS:
        if name in (kind.plural, kind.singular, *kind.short_names) and (not group or _in_group(kind, group)):
            return kind
    words = {w for kind in KINDS for w in (kind.plural, kind.singular, *kind.short_names)}
    raise UnknownKind(f"no kind is called {word!r}", tuple(_near(name, words)))


def _in_group(kind: Kind, group: str) -> bool:
    """Whether `group`, a whole group or `version.group` as kubectl takes it, is one of the kind's."""
    for version in kind.versions:
        own, _, number = version.rpartition("/")
        if group in (own, f"{number}.{own}"):
            return True
    return False


def _near(word: str, words: set[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(word, sorted(words), n=3, cutoff=0.7)
