"""Policies that act before tracking or translation (doNotTrack, preDNAT) are of host endpoints alone. One
that selects pods as well says nothing about them: from manifests to real Envoys."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.support.manifests import objects
from tests.support.meshapps import echo_http, reads
from tests.support.proxybed import Bed, Pod, tier
from tests.system.proxy.conftest import make_bed

from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.program import Action, Mesh, NodeState, PolicyProgram, Rule

pytestmark = pytest.mark.system

EARLY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: {name}}}
spec:
  selector: all()
  order: 1
  {when}: true
  applyOnForward: true
  types: [Ingress]
  ingress: [{{action: {action}}}]
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: default}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: customer}}}]}]
"""


def told(bed: Bed, *texts: str) -> None:
    """Give the proxies what a node is told of these manifests and the pods."""
    pods = "---".join(_pod(pod) for pod in bed.pods.values())
    graph = PolicyGraph(bed.pki.trust_domain)
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n"
    graph.apply([(key_of(one.object), one.object) for one in objects(namespace, pods, *texts)])
    state = NodeState()
    state.apply(graph.snapshot("node-1", 1))
    bed.state.endpoints |= {name: state.endpoints[name] for name in bed.state.endpoints}
    bed.state.peers |= state.peers
    bed.state.sets, bed.state.policies = state.sets, state.policies
    assert bed.update() == ()


def _pod(pod: Pod) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {pod.name}, namespace: default, labels: {{app: {pod.name}, tsujiban.io/mesh: {pod.mesh}}}}}
spec: {{nodeName: node-1, serviceAccountName: {pod.name}, containers: [{{name: c, image: host}}]}}
status: {{phase: Running, podIPs: [{{ip: {pod.address}}}]}}
"""


def test_policies_of_host_endpoints_open_and_close_nothing_for_pods() -> None:
    with make_bed(Mesh.SIDECAR) as bed:
        _story(bed)


def _story(bed: Bed) -> None:
    web, bare = bed.pod("web"), bed.pod("bare")
    customer, stranger = bed.pod("customer"), bed.pod("stranger")
    for pod in (web, bare):
        pod.listen(80, echo_http)
    told(bed)
    bed.settle()
    for when in ("preDNAT", "doNotTrack"):
        both = (("open", "Allow"), ("close", "Deny"))
        told(bed, POLICY, *(EARLY.format(name=name, when=when, action=action) for name, action in both))
        _expect(bed, web, bare, customer, stranger)
        # A controller that is older than its nodes puts them into the programs of pods.
        early = PolicyProgram(id="", apply_on_forward=True, pre_dnat=True)
        if when == "doNotTrack":
            early = structs.replace(early, pre_dnat=False, do_not_track=True)
        for name, action in (("_global/open", Action.ALLOW), ("_global/close", Action.DENY)):
            rule = Rule(id=f"{name}/ingress/0", action=action)
            bed.state.policies[name] = structs.replace(early, id=name, ingress=(rule,))
        for pod in (web, bare):
            endpoint = bed.state.endpoints[pod.id]
            first, *rest = endpoint.ingress or (tier(),)
            first = structs.replace(first, policies=("_global/open", "_global/close", *first.policies))
            bed.state.endpoints[pod.id] = structs.replace(endpoint, ingress=(first, *rest))
        assert bed.update() == ()
        _expect(bed, web, bare, customer, stranger)


def _expect(bed: Bed, web: Pod, bare: Pod, customer: Pod, stranger: Pod) -> None:
    """What the network policy says, and it alone."""
    bed.events.clear()
    assert reads(customer, web.address, 80) == 200
    assert reads(stranger, web.address, 80) == 0
    refused = bed.seen(log="tunnel", verdict="deny", endpoint=web.id)
    assert (refused.peer, refused.rules) == (stranger.identity, ("_tier/default/ingress/default",))
    assert reads(stranger, bare.address, 80) == 200
    passed = bed.seen(log="tcp", endpoint=bare.id)
    assert passed.rules == ("_profile/kns.default/ingress/0",)
