import os
from typing import Any

import msgspec
import pytest

from tsujiban.agent import podresources
from tsujiban.agent.objects import ConfigError
from tsujiban.resources.kinds.core import Pod
from tsujiban.resources.kinds.env import ResourceFieldSelector

RESOURCES = {
    "limits": {"cpu": "1500m", "memory": "1.5Gi", "hugepages-2Mi": "4Mi"},
    "requests": {"cpu": 0.25, "memory": "64M", "ephemeral-storage": "x"},
}
POD = msgspec.convert(
    {
        "spec": {
            "containers": [{"name": "a", "resources": RESOURCES}, {"name": "b", "resources": {"limits": []}}],
            "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "3"}}}],
        }
    },
    Pod,
)


def told(resource: str, divisor: Any = None, container: str = "") -> str:
    reference = ResourceFieldSelector(resource=resource, divisor=divisor, container_name=container)
    return podresources.value(POD, POD.spec.containers[0], reference)


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "0", "1"),
        ("limits.memory", "1Mi", "1536"),
        ("requests.memory", "1Mi", "62"),
        ("limits.hugepages-2Mi", "", "4194304"),
        ("requests.hugepages-2Mi", "1", "0"),
    ],
)
def test_a_whole_number_of_the_divisor_rounded_up(resource: str, divisor: Any, value: str) -> None:
    assert told(resource, divisor) == value


def test_of_another_container() -> None:
    assert told("limits.cpu", container="i") == "3"
    with pytest.raises(ConfigError, match="container 'z' not found"):
        told("limits.cpu", container="z")


def test_without_a_limit_it_is_what_the_machine_has() -> None:
    assert told("limits.cpu", container="b") == str(os.cpu_count())
    assert int(told("limits.memory", container="b")) > 1 << 26
    assert int(told("limits.ephemeral-storage")) > 0
    assert told("limits.hugepages-1Gi") == "0"
    assert told("requests.memory", container="b") == "0"


def test_what_is_no_quantity_is_said() -> None:
    with pytest.raises(ConfigError, match="'x' is not a quantity"):
        told("requests.ephemeral-storage")
