"""A pod's life on its node: it begins closed, ends whole, and survives what happens around it."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.podbed import PodBed, pod, process
from tests.support.wait import until

from tsujiban.agent import hooks, podrunner
from tsujiban.agent.probes import Probe
from tsujiban.agent.terminationmessage import LastWords
from tsujiban.policy.program import ServicePort, ServiceProgram
from tsujiban.supervise.client import ProcessEvent, ProcessStatus, Refused
from tsujiban.wire.messages import PodsDelta

MAIN = "n1/pods/u1/m"


@pytest.fixture
def play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[PodBed], Awaitable[None]]], None]:
    def run(story: Callable[[PodBed], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            bed = PodBed(tmp_path, monkeypatch)
            task = asyncio.create_task(bed.enforcer.run())
            monkeypatch.setattr(podrunner, "LOOK_AGAIN_SECONDS", 0.02)
            await story(bed)
            task.cancel()

        asyncio.run(all_of_it())

    return run


Play = Callable[[Callable[[PodBed], Awaitable[None]]], None]


def test_policy_then_link_then_proxy_then_containers(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.pods.take(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1")}))
        for _ in range(20):
            await asyncio.sleep(0)
        assert bed.journal == []  # no policy, no pod
        bed.allow("default/web", "10.244.0.1")
        await until(lambda: MAIN in bed.supervisor.processes)
        assert bed.journal == ["link u1 10.244.0.1", "join u1", f"start {MAIN}"]

    play(story)


def test_an_address_of_another_pod_is_not_policy_for_this_one(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.allow("default/web", "10.244.0.9")  # of a pod of the same name, before
        bed.pods.take(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1")}))
        await until(lambda: bed.enforcer.enforced == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert bed.journal == []

    play(story)


def test_a_pod_that_has_run_to_its_end_gives_up_its_address_before_it_is_said(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1", restartPolicy="Never")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.supervisor.processes[MAIN] = process(MAIN, "exited", last_exit=0)
        said = len(bed.reports)
        bed.pods.event(ProcessEvent(event="exited", name=MAIN))
        await until(lambda: "unlink u1" in bed.journal)
        await until(lambda: len(bed.reports) > said)
        assert bed.journal[-2:] == ["leave u1", "unlink u1"]
        assert [status["phase"] for _, status in bed.reports[said:]] == ["Succeeded"]
        bed.drop()
        await bed.pods.settle()
        assert bed.supervisor.processes == {}

    play(story)


def test_a_finished_pod_is_not_run_again(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.allow("default/web", "10.244.0.1")
        bed.pods.take(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1", phase="Failed")}))
        await until(lambda: "unlink u1" in bed.journal)
        assert bed.supervisor.processes == {}
        assert bed.reports == []

    play(story)


def test_a_pod_is_followed_also_after_the_supervisor_was_away(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.supervisor.gone = True
        bed.pods.look_again()
        for _ in range(20):
            await asyncio.sleep(0)
        bed.supervisor.gone = False
        bed.supervisor.processes[MAIN] = process(MAIN, "backoff", restarts=1, last_exit=3)
        await until(lambda: bed.status("u1")["containerStatuses"][0]["restartCount"] == 1)

    play(story)


def test_why_a_pod_can_never_run_is_said_though_it_has_no_policy(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.pods.take(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1", hostNetwork=True)}))
        await until(lambda: bed.status("u1") != {})
        (container,) = bed.status("u1")["containerStatuses"]
        waiting = container["state"]["waiting"]
        assert waiting["reason"] == "CreateContainerConfigError"
        assert waiting["message"].startswith("hostNetwork, hostPID and hostIPC are not allowed")
        assert bed.journal == []

    play(story)


def test_a_pod_that_ends_takes_leave_while_its_containers_end_and_its_proxy_goes_last(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.supervisor.gate.clear()
        bed.journal.clear()
        bed.terminate("u1", "10.244.0.1", 30)
        await until(lambda: bed.journal == ["part default/web"])
        bed.supervisor.gate.set()
        await bed.pods.settle()
        assert bed.journal == [
            "part default/web", f"stop {MAIN}", "flush u1", "leave u1", "removed u1"
        ]  # fmt: skip

    play(story)


def test_a_pod_without_time_waits_for_nobody(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.terminate("u1", "10.244.0.1", 0)
        await bed.pods.settle()
        assert "flush u1 at once" in bed.journal

    play(story)


KEYED: dict[str, Any] = {
    "containers": [
        {
            "name": "m",
            "image": "host",
            "command": ["true", "$(WORD)"],
            "env": [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "word"}}}],
        },
        {"name": "other", "image": "host", "command": ["true"]},
    ]
}


def given(bed: PodBed) -> dict[str, Any]:
    path = bed.run / "sandboxes" / "u1" / "env" / "m"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def waiting(bed: PodBed) -> dict[str, Any]:
    containers = bed.status("u1").get("containerStatuses", [{}])
    return dict(containers[0].get("state", {}).get("waiting", {}))


def test_a_container_waits_for_its_secret_and_the_others_do_not(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.allow("default/web", "10.244.0.1")
        wanted = pod("u1", "10.244.0.1", **KEYED)
        bed.pods.take(PodsDelta(pods={"default/web": wanted}, secrets={"default/keys": None}))
        await until(lambda: "n1/pods/u1/other" in bed.supervisor.processes and waiting(bed) != {})
        assert waiting(bed) == {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
        assert (MAIN in bed.supervisor.processes, given(bed)) == (False, {})
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": {"other": b"x"}}))
        await until(lambda: waiting(bed)["message"] == "couldn't find key word in Secret default/keys")
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": {"word": b"hush"}}))
        await until(lambda: MAIN in bed.supervisor.processes)
        await until(lambda: bed.status("u1")["phase"] == "Running" and waiting(bed) == {})
        assert given(bed) == {"argv": ["true", "hush"], "env": {"WORD": "hush"}}

    play(story)


def test_what_runs_is_left_alone_and_what_starts_again_finds_what_is_new(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.allow("default/web", "10.244.0.1")
        wanted = pod("u1", "10.244.0.1", **KEYED)
        bed.pods.take(PodsDelta(pods={"default/web": wanted}, secrets={"default/keys": {"word": b"one"}}))
        await until(lambda: bed.status("u1").get("phase") == "Running")
        started = list(bed.journal)
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": {"word": b"two"}}))
        await until(lambda: given(bed)["env"] == {"WORD": "two"})
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": None}))
        await until(lambda: given(bed) == {})
        assert (waiting(bed), bed.journal) == ({}, started)  # it runs
        bed.supervisor.processes[MAIN] = process(MAIN, "backoff", restarts=1, last_exit=0)
        bed.pods.event(ProcessEvent(event="exited", name=MAIN))
        await until(lambda: waiting(bed) != {})
        assert waiting(bed) == {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}

    play(story)


def test_an_agent_that_has_just_begun_leaves_what_is_given(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        path = bed.run / "sandboxes" / "u1" / "env" / "m"
        path.parent.mkdir(parents=True)
        path.write_text('{"argv": ["true"], "env": {"WORD": "before"}}')
        bed.allow("default/web", "10.244.0.1")
        bed.pods.take(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1", **KEYED)}))
        await until(lambda: MAIN in bed.supervisor.processes)
        assert given(bed)["env"] == {"WORD": "before"}
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": {"word": b"now"}}))
        await until(lambda: given(bed)["env"] == {"WORD": "now"})

    play(story)


def test_variables_follow_the_services_and_labels_at_the_next_start(play: Play) -> None:
    path = {"fieldPath": "metadata.labels['tier']"}
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "m",
                "image": "host",
                "command": ["true"],
                "env": [{"name": "TIER", "valueFrom": {"fieldRef": path}}],
            }
        ]
    }

    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1", **spec)
        await until(lambda: bed.status("u1").get("phase") == "Running")
        assert given(bed)["env"] == {"TIER": ""}
        labelled = json.loads(pod("u1", "10.244.0.1", **spec))
        labelled["metadata"]["labels"] = {"tier": "two"}
        bed.pods.take(PodsDelta(pods={"default/web": json.dumps(labelled).encode()}))
        await until(lambda: given(bed)["env"] == {"TIER": "two"})
        ports = (ServicePort(protocol=6, port=80),)
        service = ServiceProgram(id="default/web", addresses=("10.96.0.9",), ports=ports)
        bed.enforcer.state.services["default/web"] = service
        bed.pods.event(ProcessEvent(event="exited", name=MAIN))
        await until(lambda: given(bed)["env"].get("WEB_SERVICE_HOST") == "10.96.0.9")

    play(story)


def _named(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "host", "command": ["true"], **fields}


def _begun(bed: PodBed) -> list[str]:
    return [line.rpartition("/")[2] for line in bed.journal if line.startswith("start ")]


def _exit(bed: PodBed, container: str, code: int) -> None:
    name = f"n1/pods/u1/{container}"
    bed.supervisor.processes[name] = process(name, "exited", pid=0, last_exit=code)
    bed.pods.event(ProcessEvent(event="exited", name=name))


FIRST: dict[str, Any] = {
    "initContainers": [
        _named("one"),
        _named("proxy", restartPolicy="Always"),
        _named("two"),
    ]
}


def test_init_containers_have_their_turn_one_after_the_other(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1", **FIRST)
        await until(lambda: bed.status("u1") != {})
        assert _begun(bed) == ["one"]
        status = bed.status("u1")
        (initialized,) = [one for one in status["conditions"] if one["type"] == "Initialized"]
        assert (status["phase"], initialized["status"]) == ("Pending", "False")
        assert initialized["message"] == "containers with incomplete status: [one proxy two]"
        assert waiting(bed) == {"reason": "PodInitializing"}
        _exit(bed, "one", 0)
        await until(lambda: _begun(bed) == ["one", "proxy", "two"])
        _exit(bed, "two", 0)
        await until(lambda: bed.status("u1")["phase"] == "Running")
        assert _begun(bed) == ["one", "proxy", "two", "m"]
        states = [next(iter(one["state"])) for one in bed.status("u1")["initContainerStatuses"]]
        assert states == ["terminated", "running", "terminated"]

    play(story)


def test_an_init_container_that_fails_for_good_fails_the_pod(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1", initContainers=[_named("one")], restartPolicy="Never")
        await until(lambda: _begun(bed) == ["one"])
        _exit(bed, "one", 3)
        await until(lambda: bed.status("u1").get("phase") == "Failed")
        assert _begun(bed) == ["one"]
        assert "unlink u1" in bed.journal

    play(story)


def test_an_agent_that_starts_again_begins_no_init_container_anew(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.supervisor.processes[MAIN] = process(MAIN)
        bed.want("u1", "10.244.0.1", initContainers=[_named("one")])
        await until(lambda: bed.status("u1").get("phase") == "Running")
        assert _begun(bed) == []

    play(story)


def test_last_words_are_read_once_and_hold_up_nobody(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, bool]] = []

    def of(_words: LastWords, *, running: bool, **_which: object) -> str:
        asked.append((running, threading.current_thread() is threading.main_thread()))
        return "no disk"

    monkeypatch.setattr(LastWords, "of", of)

    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        for restarts, state in enumerate(("backoff", "running", "running"), start=1):
            bed.supervisor.processes[MAIN] = process(MAIN, state, restarts=restarts, last_exit=1)
            bed.pods.look_again()
            await until(lambda count=restarts: _ended(bed) == (count, "no disk"))  # type: ignore[misc]  # bound at once

    play(story)
    assert asked == [(False, False), (True, False)]


def _ended(bed: PodBed) -> tuple[int, str]:
    """How often the container has been started again, and the last words of the incarnation before."""
    container = bed.status("u1")["containerStatuses"][0]
    return container["restartCount"], container.get("lastState", {}).get("terminated", {}).get("message", "")


@pytest.mark.parametrize("older", [False, True])
def test_an_agent_of_another_version_stops_nothing_and_runs_nothing_twice(play: Play, older: bool) -> None:
    """It would start each container in another way than the supervisor has them."""
    spec: dict[str, Any] = {
        "initContainers": [_named("one")],
        "containers": [_named("m"), _named("job"), _named("new")],
        "restartPolicy": "Never",
    }

    async def story(bed: PodBed) -> None:
        bed.supervisor.differs, bed.supervisor.older = True, older
        bed.supervisor.processes[MAIN] = process(MAIN)
        job = "n1/pods/u1/job"
        bed.supervisor.processes[job] = process(job, "exited", pid=0, last_exit=0)
        bed.want("u1", "10.244.0.1", **spec)
        await until(lambda: bed.status("u1").get("phase") == "Running")
        states = [next(iter(one["state"])) for one in bed.status("u1")["containerStatuses"]]
        assert states == ["running", "terminated", "running"]
        assert _begun(bed) == ["new"]
        assert not any(line.startswith("stop ") for line in bed.journal)

    play(story)


def test_what_runs_beside_ends_when_the_others_have_and_last_when_the_pod_goes(play: Play) -> None:
    beside = [_named("log", restartPolicy="Always"), _named("proxy", restartPolicy="Always")]

    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1", initContainers=beside, restartPolicy="Never")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.supervisor.killed = lambda name: bed.supervisor.processes.update(
            {name: process(name, "backoff", pid=0, last_exit=0)}
        )
        bed.journal.clear()
        _exit(bed, "m", 0)
        await until(lambda: bed.status("u1").get("phase") == "Succeeded")
        assert bed.journal == [
            "kill n1/pods/u1/proxy", "kill n1/pods/u1/log", "flush u1", "leave u1", "unlink u1"
        ]  # fmt: skip
        bed.pods.look_again()
        await until(lambda: "terminated" in bed.status("u1")["initContainerStatuses"][0]["state"])
        bed.journal.clear()
        bed.drop()
        await bed.pods.settle()
        assert [line for line in bed.journal if line.startswith("stop")] == [
            f"stop {MAIN}", "stop n1/pods/u1/proxy", "stop n1/pods/u1/log"
        ]  # fmt: skip

    play(story)


def test_a_hook_is_run_before_the_container_is_stopped(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(runner: podrunner.PodRunner, _plan: object, _status: object, _probe: object) -> str:
        journal.append(f"ask {runner.uid}")
        return ""

    journal: list[str] = []
    monkeypatch.setattr(podrunner.PodRunner, "_ask", asked)

    async def story(bed: PodBed) -> None:
        nonlocal journal
        journal = bed.journal
        lifecycle = {"preStop": {"exec": {"command": ["true"]}}}
        bed.want("u1", "10.244.0.1", containers=[_named("m", lifecycle=lifecycle)])
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.journal.clear()
        bed.terminate("u1", "10.244.0.1", 30)
        await bed.pods.settle()
        assert bed.journal.index("ask u1") < bed.journal.index(f"stop {MAIN}")

    play(story)


def test_a_container_that_cannot_be_stopped_yet_takes_no_time_from_the_hooks_of_others(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsujiban.agent.pods.RETRY_SECONDS", (0.001,))

    async def story(bed: PodBed) -> None:
        hooked = asyncio.Event()

        async def asked(_runner: podrunner.PodRunner, *_: object) -> str:
            await hooked.wait()
            bed.journal.append("hooked")
            return ""

        monkeypatch.setattr(podrunner.PodRunner, "_ask", asked)
        refusals = 0
        stop = bed.supervisor.stop

        async def refusing(name: str, *, forget_log: bool = False) -> None:
            nonlocal refusals
            if name.endswith("/other") and not refusals:
                refusals += 1
                raise Refused("not now")
            await stop(name, forget_log=forget_log)

        monkeypatch.setattr(bed.supervisor, "stop", refusing)
        lifecycle = {"preStop": {"exec": {"command": ["true"]}}}
        bed.want("u1", "10.244.0.1", containers=[_named("m", lifecycle=lifecycle), _named("other")])
        await until(lambda: bed.status("u1").get("phase") == "Running")
        bed.journal.clear()
        bed.terminate("u1", "10.244.0.1", 3600)
        await until(lambda: refusals == 1)
        await asyncio.sleep(0.1)  # it is tried again, but not beside what goes on
        assert f"stop {MAIN}" not in bed.journal
        hooked.set()
        await bed.pods.settle()
        assert bed.journal.index("hooked") < bed.journal.index(f"stop {MAIN}")
        assert "stop n1/pods/u1/other" in bed.journal

    play(story)


def _unfit(journal: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A container whose first incarnation is found unfit; its hook is in the journal."""

    async def asked(_runner: object, _plan: object, status: ProcessStatus, probe: Probe) -> str:
        if probe.timeout == hooks.LONGEST:
            journal.append(f"hook {status.pid}")
            return ""
        return "no answer" if status.pid == 10 else ""

    monkeypatch.setattr(podrunner.PodRunner, "_ask", asked)
    command = {"exec": {"command": ["true"]}}
    return {"lifecycle": {"preStop": command}, "livenessProbe": {**command, "failureThreshold": 1}}


def test_a_container_that_is_unfit_ends_as_its_pod_would_and_starts_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bed: PodBed) -> None:
        def ended(name: str) -> None:
            bed.supervisor.processes[name] = process(name, pid=11, restarts=1)
            bed.pods.look_again()

        bed.supervisor.killed = ended
        asked = _unfit(bed.journal, monkeypatch)
        asked["livenessProbe"]["terminationGracePeriodSeconds"] = 3600
        bed.want("u1", "10.244.0.1", containers=[_named("m", **asked)])
        await until(lambda: bed.status("u1").get("containerStatuses", [{}])[0].get("restartCount") == 1)
        assert bed.journal[-2:] == ["hook 10", f"kill {MAIN}"]
        assert bed.supervisor.signals == [signal.SIGTERM]
        bed.drop()
        await bed.pods.settle()
        assert "hook 11" in bed.journal
        assert bed.supervisor.signals == [signal.SIGTERM]

    play(story)


def test_an_unfit_container_that_does_not_end_in_its_time_is_killed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podrunner, "AFTER_HOOKS_SECONDS", 0.01)

    async def story(bed: PodBed) -> None:
        asked = _unfit(bed.journal, monkeypatch)
        bed.want("u1", "10.244.0.1", containers=[_named("m", **asked)], terminationGracePeriodSeconds=0)
        await until(lambda: bed.supervisor.signals == [signal.SIGTERM, signal.SIGKILL])
        assert "hook 10" not in bed.journal  # there was no time for it
        bed.drop()
        await bed.pods.settle()

    play(story)
