from __future__ import annotations

import pytest

from tsujiban.policy import predicates
from tsujiban.resources import selectors
from tsujiban.resources.kinds.meta import LabelSelector

POD = {
    "app": "a",
    "projectcalico.org/namespace": "x",
    "projectcalico.org/orchestrator": "k8s",
    "projectcalico.org/serviceaccount": "sa",
    "pcns.team": "red",
    "pcns.kubernetes.io/metadata.name": "x",
    "pcsa.rank": "high",
}
HOST = {"app": "a", "team": "red"}


@pytest.mark.parametrize(
    ("text", "pod", "host"),
    [
        ("team == 'red'", True, False),  # the namespace's label, not the workload's own
        ("app == 'a'", False, False),
        ("team != 'red'", False, True),
        ("team in {'red', 'blue'}", True, False),
        ("team not in {'red'}", False, True),
        ("has(team)", True, False),
        ("!has(team)", False, True),
        ("team starts with 'r'", True, False),
        ("team ends with 'd'", True, False),
        ("team contains 'e'", True, False),
        ("team == 'blue' || has(team)", True, False),
        ("has(team) && team == 'blue'", False, False),
        ("all()", True, False),  # every namespace: what is in one
        ("global()", False, True),  # what is in none
        ("!all()", False, True),
        ("!global()", True, False),
    ],
)
def test_a_namespace_selector_asks_for_inherited_labels(text: str, pod: bool, host: bool) -> None:
    selector = predicates.in_namespaces(selectors.parse(text))
    assert selector.matches(POD) is pod
    assert selector.matches(HOST) is host


@pytest.mark.parametrize(
    ("text", "matches"), [("rank == 'high'", True), ("rank == 'low'", False), ("all()", True)]
)
def test_an_account_selector_asks_for_the_accounts_labels(text: str, matches: bool) -> None:
    selector = predicates.with_accounts(selectors.parse(text))
    assert selector.matches(POD) is matches
    assert not selector.matches(HOST)


def test_one_namespace_is_a_fact_and_no_label() -> None:
    assert predicates.in_namespace("x").matches(POD)
    assert not predicates.in_namespace("y").matches(POD)


def test_a_union_of_nothing_selects_nothing() -> None:
    assert not predicates.union([]).matches(POD)


def test_a_union_selects_what_any_selects() -> None:
    parts = [selectors.parse("app == 'b'"), selectors.parse("app == 'a'")]
    assert predicates.union(parts).matches(POD)
    assert not predicates.union(parts[:1] * 2).matches(POD)


RED = LabelSelector(match_labels={"team": "red"})
A, EMPTY = LabelSelector(match_labels={"app": "a"}), LabelSelector()


@pytest.mark.parametrize(
    ("namespace", "namespaces", "pods", "matches"),
    [
        ("x", None, EMPTY, True),
        ("x", None, None, True),  # an absent pod selector is every pod
        ("y", None, EMPTY, False),
        (None, EMPTY, EMPTY, True),  # an empty namespace selector is every namespace
        (None, None, EMPTY, False),  # an absent one is none
        (None, RED, A, True),
        (None, A, None, False),  # the pod's own label is not its namespace's
        (None, RED, RED, False),
    ],
)
def test_pods_of_kubernetes(
    namespace: str | None, namespaces: LabelSelector | None, pods: LabelSelector | None, matches: bool
) -> None:
    selector = predicates.pods(namespace, namespaces, pods)
    assert selector.matches(POD) is matches
    assert not selector.matches(HOST)
    assert not selector.matches({**POD, "projectcalico.org/orchestrator": "openstack"})
