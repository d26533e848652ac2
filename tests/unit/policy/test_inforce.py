from __future__ import annotations

import pytest
from tests.support.manifests import objects

from tsujiban.policy.definitions import NetworkPolicyForm, PeerAuthenticationForm, ProfileForm
from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.inforce import InForce, Selecting
from tsujiban.policy.items import Item
from tsujiban.policy.program import Authentication, Mesh, MtlsMode, PolicyProgram
from tsujiban.resources.selectors import EVERYTHING

USUAL = Authentication(mode=MtlsMode.PERMISSIVE, id="usual")
POD = Item(labels={}, endpoint="x/a", node="n1", profiles=("kns.x", "ksa.x.sa"), mesh=Mesh.SIDECAR)
POLICY = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec: {types: [Ingress]}
"""


def test_what_selects_nothing_leaves_an_endpoint_to_its_profiles() -> None:
    program = InForce(USUAL).program(POD, [])
    assert (program.id, program.node) == ("x/a", "n1")
    assert (program.ingress, program.egress, program.authorization) == ((), (), ())
    assert program.profiles == ("_profile/kns.x",), "an account's profile says nothing by itself"
    assert program.authentication == USUAL


def test_a_profile_of_an_account_counts_when_an_object_defines_it() -> None:
    held = InForce(USUAL)
    held.profiles["_profile/ksa.x.sa"] = ProfileForm(program=PolicyProgram(id="_profile/ksa.x.sa"))
    assert held.program(POD, []).profiles == ("_profile/kns.x", "_profile/ksa.x.sa")


def test_policies_stand_in_their_tiers_where_they_select() -> None:
    graph = PolicyGraph()
    (loaded,) = objects(POLICY)
    graph.apply([(key_of(loaded.object), loaded)])
    form = graph.form("x/p")
    assert isinstance(form, NetworkPolicyForm)
    held = InForce(USUAL)
    held.policies["x/p"] = form
    program = held.program(POD, [(Selecting.POLICY, "x/p"), (Selecting.SET, "s")])
    assert [(tier.name, tier.policies) for tier in program.ingress] == [("default", ("x/p",))]
    assert program.egress == ()


def test_who_is_not_in_the_mesh_has_nothing_of_it() -> None:
    held = InForce(USUAL)
    held.authentications["x/pa:p"] = PeerAuthenticationForm(
        id="x/pa:p", selector=EVERYTHING, scope=1, age=("", "p"), mode=MtlsMode.STRICT
    )
    selectors = [(Selecting.PEER_AUTHENTICATION, "x/pa:p")]
    assert held.program(POD, selectors).authentication.mode is MtlsMode.STRICT
    plain = Item(labels={}, endpoint="x/a", node="n1")
    assert held.program(plain, selectors).authentication == Authentication()


EARLY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: early}
spec: {types: [Ingress], applyOnForward: true}
"""


@pytest.mark.parametrize("pass_", ["preDNAT", "doNotTrack"])
def test_what_acts_before_tracking_or_translation_is_of_host_endpoints_alone(pass_: str) -> None:
    graph = PolicyGraph()
    (loaded,) = objects(EARLY.replace("applyOnForward", f"{pass_}: true, applyOnForward"))
    graph.apply([(key_of(loaded.object), loaded)])
    form = graph.form("_global/early")
    assert isinstance(form, NetworkPolicyForm)
    held = InForce(USUAL)
    held.policies["_global/early"] = form
    selectors = [(Selecting.POLICY, "_global/early")]
    host = Item(labels={}, endpoint="host/h", node="n1", host=True)
    assert held.program(POD, selectors).ingress == ()
    assert [tier.policies for tier in held.program(host, selectors).ingress] == [("_global/early",)]
