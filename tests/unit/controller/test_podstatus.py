from __future__ import annotations

import msgspec
import pytest

from tsujiban.controller import podstatus
from tsujiban.controller.world import Json, stamp

GATE = "example.com/open"
THEN, NOW = stamp(1000.0), stamp(2000.0)
MISSING = f'corresponding condition of pod readiness gate "{GATE}" does not exist.'


def condition(kind: str, status: str = "True", since: str = THEN, **fields: str) -> Json:
    return {"type": kind, "status": status, "lastTransitionTime": since, **fields}


def pod(*conditions: Json, gates: tuple[str, ...] = (GATE,), **status: object) -> Json:
    spec = {"readinessGates": [{"conditionType": gate} for gate in gates]}
    return {"spec": spec, "status": {"conditions": list(conditions), **status}}


def said(ready: str = "True") -> Json:
    told = [{"type": kind, "status": ready} for kind in ("ContainersReady", "Ready")]
    return {"phase": "Running", "conditions": told}


def ready(status: Json | None) -> Json:
    assert status is not None
    (found,) = [one for one in status["conditions"] if one["type"] == "Ready"]
    return dict(found)


@pytest.mark.parametrize(
    "status", [b"[]", b"{}", b'{"phase": 1}', b'{"phase": "Running", "conditions": [1]}']
)
def test_what_has_not_the_form_of_a_status_is_none(status: bytes) -> None:
    assert podstatus.read(status) is None


def test_a_status_is_read_whole() -> None:
    told = {**said(), "startTime": THEN}
    assert podstatus.read(msgspec.json.encode(told)) == told


def test_addresses_are_not_a_nodes_to_give_or_take() -> None:
    told = {**said(), "podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]}
    assert podstatus.merged(told, pod(podIP="10.0.0.1"), 2000.0)["podIP"] == "10.0.0.1"
    assert "podIPs" not in podstatus.merged(told, pod(), 2000.0)


def test_a_condition_tells_since_when_it_holds() -> None:
    before = pod(condition("Ready"), condition("ContainersReady", "False"), gates=())
    dates = {
        one["type"]: one["lastTransitionTime"]
        for one in podstatus.merged(said(), before, 2000.0)["conditions"]
    }
    assert dates == {"Ready": THEN, "ContainersReady": NOW}


def test_conditions_of_others_stay_and_those_of_a_node_that_it_says_no_more_go() -> None:
    before = pod(condition("DisruptionTarget", reason="x"), condition("Initialized"), gates=())
    found = podstatus.merged(said(), before, 2000.0)["conditions"]
    assert [one["type"] for one in found] == ["ContainersReady", "Ready", "DisruptionTarget"]
    assert found[-1] == condition("DisruptionTarget", reason="x")


def test_a_node_writes_no_condition_that_is_not_a_nodes() -> None:
    """Else one that was broken into could open the gates of its pods."""
    told = {"phase": "Running", "conditions": [*said()["conditions"], {"type": GATE, "status": "True"}]}
    assert ready(podstatus.merged(told, pod(), 2000.0))["message"] == MISSING


def test_a_pod_is_not_ready_while_a_gate_is_closed() -> None:
    found = ready(podstatus.merged(said(), pod(), 2000.0))
    assert found == condition("Ready", "False", NOW, reason=podstatus.GATES_CLOSED, message=MISSING)
    closed = ready(podstatus.merged(said(), pod(condition(GATE, "False")), 2000.0))
    assert closed["message"] == f'the status of pod readiness gate "{GATE}" is not "True", but False'
    assert ready(podstatus.merged(said(), pod(condition(GATE)), 2000.0))["status"] == "True"
    assert "reason" not in ready(podstatus.merged(said("False"), pod(), 2000.0))


def test_readiness_follows_the_gates_without_a_word_of_the_node() -> None:
    waiting = {**pod(), "status": podstatus.merged(said(), pod(), 1000.0)}
    assert podstatus.regated(waiting, 2000.0) is None
    waiting["status"]["conditions"].append(condition(GATE))
    opened = podstatus.regated(waiting, 2000.0)
    assert ready(opened) == condition("Ready", "True", NOW)
    assert opened is not None
    opened["conditions"][-1] = condition(GATE, "False")
    again = podstatus.regated({**waiting, "status": opened}, 3000.0)
    assert ready(again)["reason"] == podstatus.GATES_CLOSED


def test_an_open_gate_makes_nothing_ready_that_is_not() -> None:
    lost = pod(
        condition("ContainersReady"), condition("Ready", "False", reason="NodeNotReady"), condition(GATE)
    )
    assert podstatus.regated(lost, 2000.0) is None
    assert podstatus.regated(pod(condition(GATE)), 2000.0) is None
    unready = pod(
        condition("ContainersReady", "False"),
        condition("Ready", "False", reason=podstatus.GATES_CLOSED, message=MISSING),
        condition(GATE),
    )
    assert ready(podstatus.regated(unready, 2000.0)) == condition("Ready", "False")


def test_without_gates_a_pod_is_as_its_node_says() -> None:
    assert podstatus.regated(pod(condition("Ready"), gates=()), 2000.0) is None
