from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tsujiban.controller import requests


def container(cpu: Any = None, memory: Any = None, **more: Any) -> dict[str, Any]:
    amounts = {name: one for name, one in (("cpu", cpu), ("memory", memory)) if one is not None}
    return {"name": "c", "resources": {"requests": amounts}, **more}


def test_containers_add_up_and_an_init_container_counts_while_it_runs() -> None:
    pod = {"spec": {"containers": [container("250m", "1Mi"), container(1)]}}
    assert requests.of(pod) == {"cpu": Fraction(5, 4), "memory": 1 << 20}
    pod["spec"]["initContainers"] = [container(3), container("100m", restartPolicy="Always"), container(2)]
    assert requests.of(pod) == {"cpu": 3, "memory": 1 << 20}
    pod["spec"]["initContainers"] = [container(1, restartPolicy="Always"), container(2)]
    assert requests.of(pod)["cpu"] == 3
    pod["spec"]["initContainers"] = [container(1, restartPolicy="Always"), container(1)]
    assert requests.of(pod)["cpu"] == Fraction(9, 4)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"containers": [{"name": "c"}]},
        {"containers": [{"name": "c", "resources": []}]},
        {"containers": [container("much", -5)]},
        {"containers": [container(0)]},
    ],
)
def test_what_asks_for_nothing(spec: dict[str, Any]) -> None:
    assert requests.of({"spec": spec}) == {}


def test_what_a_node_has_not_enough_of() -> None:
    node = {"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}
    asked = requests.of({"spec": {"containers": [container("500m", "512Mi")]}})
    assert requests.lacking(node, {}, asked) == ""
    assert requests.lacking(node, {"cpu": Fraction(3, 2), "memory": Fraction(1 << 29)}, asked) == ""
    assert requests.lacking(node, {"cpu": Fraction(8, 5)}, asked) == "cpu"
    assert requests.lacking(node, {"memory": Fraction((1 << 29) + 1)}, asked) == "memory"
    assert requests.lacking(node, {"cpu": Fraction(9)}, {}) == ""  # who asks for nothing fits anywhere
    assert requests.lacking({"status": {}}, {}, asked) == ""  # it has not told
