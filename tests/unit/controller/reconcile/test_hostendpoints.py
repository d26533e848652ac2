from tsujiban.controller.reconcile.actions import Create, Delete, Update
from tsujiban.controller.reconcile.hostendpoints import plan
from tsujiban.controller.world import CONTROLLERS_CONFIGURATIONS, HOST_ENDPOINTS, NODES, Json, Ref, World

NODE = Ref(*NODES, "", "n1")
TARGET = Ref(*HOST_ENDPOINTS, "", "n1-auto-hep")


def world(create: str = "Enabled", held: Json | None = None, node: bool = True) -> World:
    made = World()
    spec = {"controllers": {"node": {"hostEndpoint": {"autoCreate": create}}}}
    configuration = {"metadata": {"name": "default", "uid": "c"}, "spec": spec}
    made.put(Ref(*CONTROLLERS_CONFIGURATIONS, "", "default"), configuration)
    if node:
        status = {
            "addresses": [
                {"type": "InternalIP", "address": "192.0.2.1"},
                {"type": "Hostname", "address": "n1"},
            ]
        }
        made.put(NODE, {"metadata": {"name": "n1", "uid": "n", "labels": {"zone": "a"}}, "status": status})
    if held is not None:
        made.put(TARGET, held)
    return made


def wanted() -> Json:
    action = plan(world(), NODE)[0]
    assert isinstance(action, Create)
    return {**action.obj, "metadata": {**action.obj["metadata"], "uid": "h"}}


def test_a_node_gets_an_endpoint_of_all_its_interfaces_that_allows_what_nothing_decides() -> None:
    made = wanted()
    assert made["metadata"]["labels"] == {
        "zone": "a",
        "projectcalico.org/created-by": "calico-kube-controllers",
    }
    assert made["spec"] == {
        "node": "n1",
        "interfaceName": "*",
        "expectedIPs": ["192.0.2.1"],
        "profiles": ["projectcalico-default-allow"],
    }
    assert plan(world(held=made), NODE) == []


def test_it_follows_its_node_and_goes_with_it() -> None:
    old = wanted()
    old["spec"] = {**old["spec"], "expectedIPs": ["192.0.2.9"]}
    assert plan(world(held=old), NODE) == [Update(TARGET, wanted())]
    for gone in (world(held=old, node=False), world("Disabled", old)):
        assert plan(gone, NODE) == [Delete(TARGET)]
    assert plan(world("Disabled"), NODE) == []


def test_a_users_own_endpoint_is_left_alone() -> None:
    theirs = {"metadata": {"name": TARGET.name, "uid": "u"}, "spec": {"node": "n1"}}
    for found in (world(held=theirs), world("Disabled", theirs)):
        assert plan(found, NODE) == []
