from __future__ import annotations

from tests.support.manifests import PODS, objects

from tsujiban.policy.graph import key_of
from tsujiban.policy.items import Item, Surroundings
from tsujiban.policy.population import Population
from tsujiban.policy.program import Mesh
from tsujiban.resources.kinds.meta import Object

Settled = dict[str, tuple[Item | None, Item | None]]


class Told:
    """A population that is told of texts, and what it then says changed, by endpoint."""

    def __init__(self, *texts: str) -> None:
        self.population = Population(Surroundings("cluster.local", Mesh.SIDECAR, offline=False))
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.tell(*texts)

    def tell(self, *texts: str) -> Settled:
        for loaded in objects(*texts):
            self.change(loaded.object)
        return self.settled()

    def change(self, new: Object) -> None:
        key = key_of(new)
        self.population.change(key, self.objects.get(key), new)
        self.objects[key] = new

    def drop(self, kind: str, namespace: str, name: str) -> Settled:
        key = (kind, namespace, name)
        self.population.change(key, self.objects.pop(key), None)
        return self.settled()

    def settled(self) -> Settled:
        return {
            (new or old or Item(labels={})).endpoint: (old, new) for _, old, new in self.population.settle()
        }


NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {team: green}}"
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sb, namespace: x, labels: {rank: hi}}"
PROFILE = """
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: kns.y}
spec: {labelsToApply: {zone: z}}
"""


def test_a_namespaces_label_is_news_to_those_in_it_only() -> None:
    told = Told(PODS)
    changed = told.tell(NAMESPACE)
    assert set(changed) == {"x/a", "x/b"}
    old, new = changed["x/a"]
    assert old is not None
    assert new is not None
    assert (old.labels["pcns.team"], new.labels["pcns.team"]) == ("red", "green")


def test_an_accounts_label_is_news_to_those_that_run_as_it() -> None:
    assert set(Told(PODS).tell(ACCOUNT)) == {"x/b"}


def test_a_profiles_label_is_news_to_those_that_have_it() -> None:
    told = Told(PODS)
    assert set(told.tell(PROFILE)) == {"y/c"}
    ((_, new),) = told.drop("Profile.projectcalico.org", "", "kns.y").values()
    assert new is not None
    assert "zone" not in new.labels


def test_the_first_profile_that_gives_a_label_counts_and_an_own_label_before_it() -> None:
    """Calico's reference, "Profile": labelsToApply."""
    head = "apiVersion: projectcalico.org/v3\nkind: "
    profiles = [
        f"{head}Profile\nmetadata: {{name: {name}}}\nspec: {{labelsToApply: {{zone: {name}, own: {name}}}}}"
        for name in ("one", "two")
    ]
    endpoint = (
        f"{head}WorkloadEndpoint\nmetadata: {{name: w, namespace: y, labels: {{own: w}}}}\n"
        "spec: {interfaceName: eth0, profiles: [two, one], ipNetworks: [10.9.0.1]}"
    )
    (_, new) = Told(*profiles).tell(endpoint)["y/w"]
    assert new is not None
    assert (new.labels["zone"], new.labels["own"]) == ("two", "w")


def test_what_is_told_again_is_no_news() -> None:
    told = Told(PODS)
    assert told.tell(PODS) == {}
    assert told.population.dirty == set()


def test_the_order_does_not_matter() -> None:
    early, late = Told(NAMESPACE, ACCOUNT, PROFILE, PODS.replace("{team: red}", "{team: green}")), Told(PODS)
    late.tell(PROFILE, ACCOUNT, NAMESPACE)
    for name in ("x/a", "x/b", "y/c"):
        one, other = early.population.endpoint(name), late.population.endpoint(name)
        assert one is not None
        assert other is not None
        assert one[1] == other[1]


def test_what_is_gone_gives_its_number_to_the_next() -> None:
    told = Told(PODS)
    before = told.population.endpoint("x/a")
    assert before is not None
    ((old, new),) = told.drop("Pod", "x", "a").values()
    assert (old, new) == (before[1], None)
    assert told.population.endpoint("x/a") is None
    told.tell(PODS.split("---")[2].replace("name: a,", "name: new,"))
    after = told.population.endpoint("x/new")
    assert after is not None
    assert after[0] == before[0]
    assert len(told.population.items) == 3


def test_a_pod_that_finished_is_gone() -> None:
    told = Told(PODS)
    ((_, new),) = told.tell(PODS.split("---")[2].replace("phase: Running", "phase: Succeeded")).values()
    assert new is None


def test_nodes_are_kept_apart_from_what_peers_select() -> None:
    told = Told("apiVersion: v1\nkind: Node\nmetadata: {name: n, labels: {zone: z}}", PODS)
    (number,) = told.population.nodes
    assert told.population.items[number].labels == {"zone": "z"}
    told.drop("Node", "", "n")
    assert told.population.nodes == set()


def test_of_two_things_of_one_name_the_first_by_key_is_the_endpoint() -> None:
    told = Told(
        PODS,
        """
        apiVersion: projectcalico.org/v3
        kind: WorkloadEndpoint
        metadata: {name: a, namespace: x, labels: {app: w}}
        spec: {orchestrator: k8s, node: n, workload: a, pod: a, endpoint: eth0, containerID: c,
          interfaceName: cali1, ipNetworks: [10.0.0.5/32]}
        """,
    )
    found = told.population.endpoint("x/a")
    assert found is not None
    assert found[1].labels["app"] == "a"  # Pod sorts before WorkloadEndpoint
    told.drop("Pod", "x", "a")
    found = told.population.endpoint("x/a")
    assert found is not None
    assert found[1].labels["app"] == "w"
