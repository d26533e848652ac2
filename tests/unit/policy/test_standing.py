"""One form in the place of another: what is published, who is touched, what stays as it is."""

from __future__ import annotations

from pyroaring import BitMap
from tests.support.manifests import PODS, objects

from tsujiban.policy.compile import Form, compile_object
from tsujiban.policy.definitions import AuthorizationForm, NetworkPolicyForm
from tsujiban.policy.dialects.common import Place
from tsujiban.policy.dialects.istio import MeshNames
from tsujiban.policy.graph import key_of
from tsujiban.policy.heldsets import HeldSets
from tsujiban.policy.index import LabelIndex
from tsujiban.policy.inforce import InForce, Selecting, Selector
from tsujiban.policy.items import Surroundings
from tsujiban.policy.journal import Table
from tsujiban.policy.population import Population
from tsujiban.policy.program import Authentication, Mesh
from tsujiban.policy.standing import Standing, selector_of

NETWORK = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: platform.p, namespace: x}
spec:
  tier: platform
  selector: app == 'SELECTED'
  types: [Ingress]
  ingress: [{action: Allow, source: {selector: app == 'FROM'}}]
"""
AUTHORIZATION = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: z, namespace: x}
spec: {action: ACTION, rules: [{to: [{operation: {methods: [METHOD]}}]}]}
"""
TIER = """
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: platform}
spec: {order: 10, defaultAction: Pass}
"""
POLICIES = (Table.POLICIES, "x/platform.p")


def compiled(text: str) -> Form:
    (loaded,) = objects(text)
    found = compile_object(loaded.object, Place(loaded), MeshNames("cluster.local"))
    assert found is not None
    return found


def network(source: str, selected: str = "b") -> NetworkPolicyForm:
    found = compiled(NETWORK.replace("FROM", source).replace("SELECTED", selected))
    assert isinstance(found, NetworkPolicyForm)
    return found


def authorization(action: str, method: str) -> AuthorizationForm:
    found = compiled(AUTHORIZATION.replace("ACTION", action).replace("METHOD", method))
    assert isinstance(found, AuthorizationForm)
    return found


class Bed:
    def __init__(self) -> None:
        population = Population(Surroundings("cluster.local", Mesh.NONE, offline=False))
        self.index: LabelIndex[Selector] = LabelIndex()
        self.in_force = InForce(Authentication())
        self.held = HeldSets(population, self.index, LabelIndex(), lambda name: None)
        self.noted: list[tuple[Table, str]] = []
        self.touched: BitMap = BitMap()
        for loaded in objects(PODS):
            population.change(key_of(loaded.object), None, loaded.object)
        self.app: dict[int, str] = {}
        for number, _, new in population.settle():
            if new is not None:
                self.index.set_item(number, new.labels)
                self.app[number] = new.labels.get("app", "")
        self.standing = Standing(
            self.in_force, self.index, self.held, lambda *what: self.noted.append(what), self.touched.add
        )

    def replace(self, old: Form | None, new: Form | None) -> tuple[list[tuple[Table, str]], set[str]]:
        """What was noted, and the apps of the items that were touched."""
        self.noted.clear()
        self.touched.clear()
        self.standing.replace(old, new)
        return list(self.noted), {self.app[number] for number in self.touched}


def test_a_policy_comes_changes_in_its_rules_and_goes() -> None:
    bed = Bed()
    first, second = network("a"), network("c")
    assert bed.replace(None, first) == ([POLICIES], {"b"})
    assert set(bed.held.states) == set(first.sets)
    assert bed.replace(first, second) == ([POLICIES], set()), "its endpoints' programs name it as before"
    assert set(bed.held.states) == set(second.sets)
    assert bed.standing.programs["x/platform.p"] == second.program
    assert bed.replace(second, None) == ([POLICIES], {"b"})
    assert not bed.held.states
    assert not bed.standing.programs
    assert not bed.in_force.policies


def test_what_selects_otherwise_is_selected_anew() -> None:
    bed = Bed()
    old, new = network("a"), network("a", "a")
    bed.replace(None, old)
    assert bed.replace(old, new)[1] == {"a", "b"}


def test_an_authorization_of_another_action_touches_its_workloads() -> None:
    bed = Bed()
    get, post = (
        authorization("ALLOW", "GET"),
        authorization("ALLOW", "PUT"),
    )
    deny = authorization("DENY", "PUT")
    noted, all_of_x = bed.replace(None, get)
    assert all_of_x
    ((table, name),) = set(noted)
    assert table is Table.AUTHORIZATIONS
    assert bed.replace(get, post)[0] == [(table, name)]
    assert bed.standing.authorizations[name] == post.program
    assert bed.replace(post, deny)[1] == all_of_x, "DENY stands before ALLOW in their programs"
    bed.replace(deny, None)
    assert not bed.standing.authorizations
    assert not bed.in_force.authorizations


def test_a_profile_is_published_while_somebody_names_it() -> None:
    bed = Bed()
    bed.standing.use_profile("_profile/kns.x", 1)
    bed.standing.use_profile("_profile/kns.x", 1)
    assert set(bed.standing.programs) == {"_profile/kns.x"}
    bed.standing.use_profile("_profile/kns.x", -1)
    assert set(bed.standing.programs) == {"_profile/kns.x"}
    bed.standing.use_profile("_profile/kns.x", -1)
    assert not bed.standing.programs
    assert {name for _, name in bed.noted} == {"_profile/kns.x"}


def test_a_tier_that_changes_touches_whom_its_policies_select() -> None:
    bed = Bed()
    bed.replace(None, network("a"))
    (tier,) = objects(TIER)
    for value in (tier.object, None):
        bed.touched.clear()
        bed.standing.change_tier("platform", value)
        assert {bed.app[number] for number in bed.touched} == {"b"}
    bed.touched.clear()
    bed.standing.change_tier("platform", None)
    assert not bed.touched, "nothing changed"


def test_the_name_of_a_selector_says_whose_it_is() -> None:
    assert selector_of(network("a")) == (Selecting.POLICY, "x/platform.p")
    assert selector_of(authorization("DENY", "GET"))[0] is Selecting.AUTHORIZATION
