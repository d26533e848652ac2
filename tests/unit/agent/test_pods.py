"""The parts of running pods that need no machine."""

from __future__ import annotations

import pytest

from tsujiban.agent.pods import ConfigMaps, slot_of
from tsujiban.resources.kinds.core import ConfigMap

POOLS = ("10.244.0.0/16", "fd44::/112")


@pytest.mark.parametrize(
    ("address", "slot"),
    [
        ("10.244.0.0", 0),
        ("10.244.0.65", 65),
        ("10.244.255.255", 65535),
        ("fd44::1:0", None),
        ("fd44::ff", 255),
    ],
)
def test_slots_differ_within_a_pool(address: str, slot: int | None) -> None:
    if slot is None:
        with pytest.raises(ValueError, match="none of the pools"):
            slot_of(address, POOLS)
    else:
        assert slot_of(address, POOLS) == slot


def test_config_maps_of_one_namespace_as_they_are_now() -> None:
    everywhere = {"a/files": ConfigMap(data={"x": "1"}), "b/files": ConfigMap(data={"x": "2"})}
    view = ConfigMaps(everywhere, "a")
    assert dict(view) == {"files": everywhere["a/files"]}
    everywhere["a/late"] = ConfigMap(data={})
    assert sorted(view) == ["files", "late"]
    assert len(view) == 2
    with pytest.raises(KeyError):
        view["b/files"]
