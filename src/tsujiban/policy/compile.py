"""From one object of any policy kind to its normal form: the one place that knows all dialects."""

from __future__ import annotations

from tsujiban.policy import revocation
from tsujiban.policy.definitions import (
    AuthorizationForm,
    NetworkPolicyForm,
    PeerAuthenticationForm,
    ProfileForm,
    RequestAuthenticationForm,
)
from tsujiban.policy.dialects import calico, cluster, istio, kubernetes
from tsujiban.policy.dialects.common import Place
from tsujiban.policy.dialects.istio import MeshNames
from tsujiban.resources.kinds import calico as calico_kinds
from tsujiban.resources.kinds import cnp, core, netpol
from tsujiban.resources.kinds import istio as istio_kinds
from tsujiban.resources.kinds.meta import Object

Form = (
    NetworkPolicyForm | ProfileForm | AuthorizationForm | PeerAuthenticationForm | RequestAuthenticationForm
)


def compile_object(obj: Object, place: Place, mesh: MeshNames) -> Form | None:
    """The normal form of a policy object; None for what says nothing, and for other kinds.

    Raises ValueError for an object that validation would have refused.
    """
    match obj:
        case netpol.NetworkPolicy() | calico_kinds.StagedKubernetesNetworkPolicy():
            return kubernetes.compile_policy(obj, place)
        case (
            calico_kinds.NetworkPolicy()
            | calico_kinds.GlobalNetworkPolicy()
            | calico_kinds.StagedNetworkPolicy()
            | calico_kinds.StagedGlobalNetworkPolicy()
        ):
            return calico.compile_policy(obj, place)
        case calico_kinds.Profile():
            return calico.compile_profile(obj, place)
        case cnp.ClusterNetworkPolicy() | cnp.AdminNetworkPolicy() | cnp.BaselineAdminNetworkPolicy():
            return cluster.compile_policy(obj, place)
        case core.ConfigMap() if (obj.metadata.namespace, obj.metadata.name) == revocation.CONFIG_KEY[1:]:
            return revocation.compile_revocations(obj)
        case istio_kinds.AuthorizationPolicy():
            return istio.compile_authorization(obj, place, mesh)
        case istio_kinds.PeerAuthentication():
            return istio.compile_peer_authentication(obj, mesh)
        case istio_kinds.RequestAuthentication():
            return istio.compile_request_authentication(obj, place, mesh)
    return None
