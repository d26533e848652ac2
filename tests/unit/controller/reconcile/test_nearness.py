"""Where a pod may be as far as other pods go."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile.nearness import Wishes
from tsujiban.controller.world import NAMESPACES, NODES, PODS, Json, Ref

HOST, ZONE = "kubernetes.io/hostname", "zone"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def term(key: str = HOST, /, **fields: Any) -> Json:
    labels = {name: fields.pop(name) for name in ("app", "track") if name in fields}
    return {"labelSelector": {"matchLabels": labels}, "topologyKey": key, **fields}


def near(*terms: Json) -> Json:
    return {"affinity": {"podAffinity": {REQUIRED: list(terms)}}}


def apart(*terms: Json) -> Json:
    return {"affinity": {"podAntiAffinity": {REQUIRED: list(terms)}}}


def spread(key: str = ZONE, skew: int = 1, unsatisfiable: str = "DoNotSchedule", **fields: Any) -> Json:
    constraint = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": unsatisfiable, **fields}
    return {"topologySpreadConstraints": [{"labelSelector": {"matchLabels": {"app": "web"}}, **constraint}]}


def placed(
    kit: Any, name: str, node: str, namespace: str = "default", spec: Json | None = None, **labels: str
) -> Ref:
    ref = Ref(*PODS, namespace, name)
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    status = {"phase": "Running", "podIP": "10.0.0.1"}
    return kit.put(ref, {"metadata": metadata, "spec": {"nodeName": node, **(spec or {})}, "status": status})  # type: ignore[no-any-return]


def wishes(kit: Any, spec: Json, **labels: str) -> Wishes:
    ref = kit.pod("new", **(labels or {"app": "web"}))
    pod = kit.world.get(ref)
    kit.put(ref, {**pod, "spec": {**pod["spec"], **spec}})
    return Wishes(kit.world, ref, kit.world.get(ref))


def may(kit: Any, spec: Json, **labels: str) -> list[str]:
    """Names of the nodes on which it may be."""
    asked = wishes(kit, spec, **labels)
    return sorted(ref.name for ref, node in kit.world.all(NODES) if not asked.refusal(node))


@pytest.fixture
def four(kit: Any) -> Any:
    """Two nodes in each of two zones, and one in none."""
    for name, zone in (("n1", "a"), ("n2", "a"), ("n3", "b"), ("n4", "b")):
        kit.node(name, zone=zone)
    kit.node("n5")
    return kit


def test_who_wishes_nothing_may_be_anywhere(four: Any) -> None:
    assert may(four, {}) == ["n1", "n2", "n3", "n4", "n5"]


@pytest.mark.parametrize(("key", "expected"), [(HOST, ["n1"]), (ZONE, ["n1", "n2"]), ("rack", [])])
def test_near_is_what_has_the_same_value_of_a_label(four: Any, key: str, expected: list[str]) -> None:
    placed(four, "db", "n1", app="db")
    assert may(four, near(term(key, app="db"))) == expected


def test_near_nobody_is_nowhere_but_for_the_first_of_its_kind(four: Any) -> None:
    assert may(four, near(term(ZONE, app="db"))) == []
    assert may(four, near(term(ZONE, app="web"))) == ["n1", "n2", "n3", "n4"]
    placed(four, "web-1", "n3", app="web")
    assert may(four, near(term(ZONE, app="web"))) == ["n3", "n4"]


def test_only_a_pod_that_all_terms_are_about_counts_for_affinity(four: Any) -> None:
    placed(four, "db", "n1", app="db")
    placed(four, "canary", "n1", track="canary")
    both = near(term(app="db"), term(track="canary"))
    assert may(four, both) == []
    placed(four, "both", "n3", app="db", track="canary")
    assert may(four, both) == ["n3"]


@pytest.mark.parametrize(("key", "expected"), [(HOST, ["n2", "n3", "n4", "n5"]), (ZONE, ["n3", "n4", "n5"])])
def test_apart_from_each_of_them(four: Any, key: str, expected: list[str]) -> None:
    placed(four, "db", "n1", app="db")
    assert may(four, apart(term(key, app="db"), term(key, app="nobody"))) == expected


def test_those_who_are_there_are_not_disturbed(four: Any) -> None:
    placed(four, "hermit", "n1", spec=apart(term(ZONE, app="web")), app="hermit")
    assert may(four, {}, app="web") == ["n3", "n4", "n5"]
    assert may(four, {}, app="other") == ["n1", "n2", "n3", "n4", "n5"]
    assert wishes(four, {}, app="web").refusal(four.world.find(NODES, "", "n1")) == (
        "didn't match pod anti-affinity rules"
    )


def test_who_has_finished_or_has_no_node_disturbs_nobody(four: Any) -> None:
    done = placed(four, "done", "n1", spec=apart(term(app="web")), app="db")
    four.world.put(done, {**four.world.get(done), "status": {"phase": "Succeeded"}})
    placed(four, "waits", "", spec=apart(term(app="web")), app="db")
    assert may(four, apart(term(app="db"))) == ["n1", "n2", "n3", "n4", "n5"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"namespaces": ["shop"]}, ["n1"]),
        ({"namespaces": ["other"]}, []),
        ({"namespaceSelector": {}}, ["n1"]),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, ["n1"]),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, []),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}, "namespaces": ["shop"]}, ["n1"]),
    ],
)
def test_pods_of_which_namespaces(four: Any, fields: Json, expected: list[str]) -> None:
    for name, team in (("default", "b"), ("shop", "a")):
        four.put(Ref(*NAMESPACES, "", name), {"metadata": {"name": name, "labels": {"team": team}}})
    placed(four, "db", "n1", "shop", app="db")
    assert may(four, near(term(app="db", **fields))) == expected


def test_pods_with_the_same_or_another_value_of_a_label(four: Any) -> None:
    placed(four, "old", "n1", app="web", track="1")
    placed(four, "new-1", "n2", app="web", track="2")
    same = apart(term(app="web", matchLabelKeys=["track"]))
    other = apart(term(app="web", mismatchLabelKeys=["track", "absent"]))
    assert may(four, same, app="web", track="2") == ["n1", "n3", "n4", "n5"]
    assert may(four, other, app="web", track="2") == ["n2", "n3", "n4", "n5"]


def test_what_is_liked_is_weighed(four: Any) -> None:
    placed(four, "db", "n1", app="db")
    placed(four, "noise", "n2", app="noise")
    liking = {
        "affinity": {
            "podAffinity": {PREFERRED: [{"weight": 10, "podAffinityTerm": term(ZONE, app="db")}]},
            "podAntiAffinity": {PREFERRED: [{"weight": 3, "podAffinityTerm": term(app="noise")}]},
        }
    }
    asked = wishes(four, liking)
    found = {ref.name: asked.preference(node)[0] for ref, node in four.world.all(NODES)}
    assert found == {"n1": 10, "n2": 7, "n3": 0, "n4": 0, "n5": 0}
    assert not any(asked.refusal(node) for _, node in four.world.all(NODES))


def test_pods_are_spread_evenly_over_zones(four: Any) -> None:
    placed(four, "web-1", "n1", app="web")
    assert may(four, spread()) == ["n3", "n4"]
    assert may(four, spread(skew=2)) == ["n1", "n2", "n3", "n4"]
    placed(four, "web-2", "n3", app="web")
    assert may(four, spread()) == ["n1", "n2", "n3", "n4"]


def test_who_is_not_of_its_kind_itself_is_not_counted(four: Any) -> None:
    placed(four, "web-1", "n1", app="web")
    assert may(four, spread(), app="other") == ["n1", "n2", "n3", "n4"]


def test_few_domains_are_filled_as_if_another_were_empty(four: Any) -> None:
    placed(four, "web-1", "n1", app="web")
    placed(four, "web-2", "n3", app="web")
    assert may(four, spread(minDomains=2)) == ["n1", "n2", "n3", "n4"]
    assert may(four, spread(minDomains=3)) == []


def test_domains_are_those_of_nodes_that_the_pod_may_have(four: Any) -> None:
    placed(four, "web-1", "n1", app="web")
    chosen = {"nodeSelector": {ZONE: "a"}}
    assert may(four, {**spread(), **chosen}) == ["n1", "n2", "n3", "n4"]  # of which the selector takes two
    assert may(four, {**spread(nodeAffinityPolicy="Ignore"), **chosen}) == ["n3", "n4"]
    for name in ("n3", "n4"):
        ref = Ref(*NODES, "", name)
        four.put(ref, {**four.world.get(ref), "spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}})
    assert may(four, spread()) == ["n3", "n4"]
    assert may(four, spread(nodeTaintsPolicy="Honor")) == ["n1", "n2", "n3", "n4"]


def test_pods_that_end_do_not_count(four: Any) -> None:
    ending = placed(four, "web-1", "n1", app="web")
    found = four.world.get(ending)
    four.put(
        ending, {**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    )
    assert may(four, spread()) == ["n1", "n2", "n3", "n4"]


def test_a_spread_that_is_only_liked_says_where_fewest_are(four: Any) -> None:
    placed(four, "web-1", "n1", app="web")
    asked = wishes(four, spread(unsatisfiable="ScheduleAnyway"))
    found = {ref.name: asked.preference(node)[1] for ref, node in four.world.all(NODES)}
    assert found == {"n1": -1, "n2": -1, "n3": 0, "n4": 0, "n5": -2}
    assert not any(asked.refusal(node) for _, node in four.world.all(NODES))


@pytest.mark.parametrize(
    "odd",
    [
        {"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": HOST}]}}},
        {
            "affinity": {
                "podAffinity": {REQUIRED: [term(labelSelector={"matchExpressions": [{"key": "app"}]})]}
            }
        },
    ],
)
def test_what_is_no_selector_selects_no_pod(four: Any, odd: Json) -> None:
    placed(four, "db", "n1", app="web")
    assert may(four, odd) == []


@pytest.mark.parametrize(
    "odd", [{"affinity": 1}, {"affinity": {"podAffinity": []}}, {"topologySpreadConstraints": 1}]
)
def test_what_is_no_wish_stops_nobody(four: Any, odd: Json) -> None:
    assert len(may(four, odd)) == 5
