"""A node's object says what the node said, and keeps what a person added."""

from __future__ import annotations

from tsujiban.controller import members
from tsujiban.controller.reconcile.actions import Update
from tsujiban.controller.world import is_ready, stamp

NOW = 1_800_000_000.0


def test_registers_and_keeps_what_a_person_added() -> None:
    node = members.registered(None, "n", ("172.31.255.11",), ("10.244.0.0/26",), "0.1.0", NOW)
    assert node["spec"] == {"podCIDR": "10.244.0.0/26", "podCIDRs": ["10.244.0.0/26"]}
    assert {"type": "InternalIP", "address": "172.31.255.11"} in node["status"]["addresses"]
    assert is_ready(node)
    node["metadata"]["labels"]["disk"] = "fast"
    node["spec"]["unschedulable"] = True
    again = members.registered(node, "n", ("172.31.255.12",), ("10.244.0.0/26",), "0.2.0", NOW + 5)
    assert again["metadata"]["labels"]["disk"] == "fast"
    assert again["spec"]["unschedulable"] is True
    assert {"type": "InternalIP", "address": "172.31.255.12"} in again["status"]["addresses"]


def test_ready_changes_only_its_own_condition_and_says_since_when() -> None:
    node = {"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Disk", "status": "True"}]}}
    heard = members.ready(node, NOW)
    gone = members.unheard(members.ready(heard, NOW + 10), NOW + 20)
    assert not is_ready(gone)
    disk, ready = gone["status"]["conditions"]
    assert disk == {"type": "Disk", "status": "True"}
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert ready["lastHeartbeatTime"] == stamp(NOW + 10)
    assert ready["lastTransitionTime"] == stamp(NOW + 20)
    assert members.unheard(gone, NOW + 30) == gone
    again = members.ready(gone, NOW + 40)
    assert is_ready(again)
    assert again["status"]["conditions"][1]["lastTransitionTime"] == stamp(NOW + 40)


def test_another_block_is_written_once() -> None:
    node = members.registered(None, "n", (), ("10.244.0.0/26",), "0.1.0", NOW)
    assert members.with_blocks(node, ("10.244.0.0/26",)) == []
    assert members.with_blocks(None, ("10.244.0.0/26",)) == []
    (update,) = members.with_blocks(node, ("10.244.0.0/26", "10.244.0.64/26"))
    assert isinstance(update, Update)
    assert update.obj["spec"]["podCIDRs"] == ["10.244.0.0/26", "10.244.0.64/26"]
    assert members.with_blocks(update.obj, ("10.244.0.0/26", "10.244.0.64/26")) == []


def test_a_node_tells_of_its_machine_and_not_which_version_it_is() -> None:
    node = members.registered(None, "n", (), (), "0.1.0", NOW, {"kernelVersion": "6.1", "osImage": "Debian"})
    assert node["status"]["nodeInfo"] == {
        "architecture": "",
        "bootID": "",
        "containerRuntimeVersion": "tsujiban://0.1.0",
        "kernelVersion": "6.1",
        "kubeProxyVersion": "",
        "kubeletVersion": "tsujiban-0.1.0",
        "machineID": "",
        "operatingSystem": "",
        "osImage": "Debian",
        "systemUUID": "",
    }


def test_all_that_a_machine_has_is_for_pods() -> None:
    node = members.registered(None, "n", (), (), "1", 0.0, {}, {"cpu": "2", "memory": "8Ki"})
    assert node["status"]["capacity"] == node["status"]["allocatable"] == {"cpu": "2", "memory": "8Ki"}
    assert "capacity" not in members.registered(None, "n", (), (), "1", 0.0)["status"]
