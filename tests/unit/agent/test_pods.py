"""The parts of running pods that need no machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.podbed import PodBed, pod, process
from tests.support.wait import PATIENCE, until

from tsujiban.agent import orphans, pods
from tsujiban.agent.pods import OfNamespace, slot_of
from tsujiban.resources.kinds.core import ConfigMap, Pod
from tsujiban.wire.messages import PodsDelta

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


def test_objects_of_one_namespace_as_they_are_now() -> None:
    everywhere = {"a/files": ConfigMap(data={"x": "1"}), "b/files": ConfigMap(data={"x": "2"})}
    view = OfNamespace(everywhere, "a")
    assert dict(view) == {"files": everywhere["a/files"]}
    everywhere["a/late"] = ConfigMap(data={})
    assert sorted(view) == ["files", "late"]
    assert len(view) == 2
    with pytest.raises(KeyError):
        view["b/files"]


Play = Callable[[Callable[[PodBed], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    def run(story: Callable[[PodBed], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            bed = PodBed(tmp_path, monkeypatch)
            task = asyncio.create_task(bed.enforcer.run())
            await story(bed)
            task.cancel()

        asyncio.run(all_of_it())

    return run


async def idle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def running(bed: PodBed, uid: str) -> Callable[[], bool]:
    return lambda: f"n1/pods/{uid}/m" in bed.supervisor.processes


def test_an_address_is_used_again_only_when_its_last_pod_has_gone(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1", "a")
        await until(running(bed, "u1"))
        bed.supervisor.gate.clear()  # it takes its time to stop
        bed.drop("a")
        bed.want("u2", "10.244.0.1", "b")
        bed.want("u3", "10.244.0.3", "c")
        await until(running(bed, "u3"))  # another address need not wait
        assert "link u2 10.244.0.1" not in bed.journal
        bed.supervisor.gate.set()
        await until(running(bed, "u2"))
        assert bed.journal.index("removed u1") < bed.journal.index("link u2 10.244.0.1")

    play(story)


def test_a_pod_dropped_while_it_waits_for_its_namesake_does_not_stop_that_ones_end(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(running(bed, "u1"))
        bed.supervisor.gate.clear()
        bed.drop()
        bed.want("u2", "10.244.0.2")
        await idle()
        bed.drop()
        bed.want("u3", "10.244.0.3")
        await idle()
        bed.supervisor.gate.set()
        await until(running(bed, "u3"))
        assert bed.journal.index("removed u1") < bed.journal.index("link u3 10.244.0.3")
        assert "link u2 10.244.0.2" not in bed.journal
        assert not running(bed, "u1")()
        await bed.pods.settle()

    play(story)


def test_a_pod_is_removed_though_the_supervisor_was_away(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsujiban.agent.pods.RETRY_SECONDS", (0.01,))

    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(running(bed, "u1"))
        bed.supervisor.gone = True
        bed.drop()
        await asyncio.sleep(0.1)
        assert "removed u1" not in bed.journal
        bed.supervisor.gone = False
        await asyncio.wait_for(bed.pods.settle(), PATIENCE)
        assert "removed u1" in bed.journal

    play(story)


@pytest.mark.parametrize("turns", range(6))
def test_a_pod_ends_though_there_was_news_of_it_in_the_same_moment(play: Play, turns: int) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        await idle()
        bed.pods.look_again()
        for _ in range(turns):
            await asyncio.sleep(0)
        bed.drop()
        await asyncio.wait_for(bed.pods.settle(), PATIENCE)
        assert "removed u1" in bed.journal

    play(story)


def test_a_pod_that_cannot_be_run_is_said_so_and_others_run(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "192.0.2.1", "foreign")  # in no pool that this node knows
        bed.want("u2", "10.244.0.2", "b")
        await until(running(bed, "u2"))
        assert "192.0.2.1 is in none of the pools" in bed.status("u1")["message"]

    play(story)


def test_a_defect_leaves_no_pod_half_up_or_half_gone(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsujiban.agent.pods.RETRY_SECONDS", (0.01,))

    async def story(bed: PodBed) -> None:
        defects = [ZeroDivisionError(), ZeroDivisionError()]

        def prepare(_pod: object, _place: object) -> None:
            if defects:
                raise defects.pop()

        bed.prepare = prepare
        bed.want("u1", "10.244.0.1")
        await until(running(bed, "u1"))
        assert not defects
        ends = [ZeroDivisionError()]
        stop = bed.supervisor.stop

        async def failing(name: str, *, forget_log: bool = False) -> None:
            if ends:
                raise ends.pop()
            await stop(name, forget_log=forget_log)

        monkeypatch.setattr(bed.supervisor, "stop", failing)
        bed.drop()
        await asyncio.wait_for(bed.pods.settle(), PATIENCE)
        assert "removed u1" in bed.journal

    play(story)


def test_a_pod_that_is_dropped_while_it_fails_is_tried_no_more(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsujiban.agent.pods.RETRY_SECONDS", (0.01,))

    async def story(bed: PodBed) -> None:
        tried: list[str] = []

        def prepare(pod: Pod, _place: object) -> None:
            tried.append(pod.metadata.uid)
            raise ZeroDivisionError

        bed.prepare = prepare
        bed.want("u1", "10.244.0.1")
        await until(lambda: len(tried) > 2)
        bed.drop()
        await asyncio.wait_for(bed.pods.settle(), PATIENCE)
        times = len(tried)
        await asyncio.sleep(0.1)
        assert len(tried) == times

    play(story)


def test_leftovers_go_before_a_pod_begins_and_what_is_wanted_or_ending_stays(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bed: PodBed) -> None:
        removed: list[str] = []
        monkeypatch.setattr(orphans, "_remove", lambda config, groups, uid: removed.append(uid))
        bed.supervisor.processes["n1/pods/old/m"] = process("n1/pods/old/m")
        bed.supervisor.processes["n1/agent"] = process("n1/agent")
        bed.supervisor.gate.clear()
        bed.want("u1", "10.244.0.1")
        bed.pods.sweep()
        await idle()
        assert not running(bed, "u1")()
        bed.supervisor.gate.set()
        await until(running(bed, "u1"))
        assert removed == ["old"]
        assert bed.journal.index("stop n1/pods/old/m") < bed.journal.index("start n1/pods/u1/m")
        bed.pods.sweep()
        await idle()
        assert running(bed, "u1")()
        assert "n1/agent" in bed.supervisor.processes

    play(story)


MOUNTS: dict[str, Any] = {
    "volumes": [
        {"name": "s", "secret": {"secretName": "keys"}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "files"}}]}},
    ]
}


def test_secrets_come_with_the_pods_that_mount_them_go_with_them_and_are_not_remembered(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        made: list[object] = []
        bed.prepare = lambda _pod, place: made.append(dict(place.objects.secrets))
        bed.allow("default/web", "10.244.0.1")
        told: dict[str, dict[str, bytes] | None] = {"default/keys": {"a": b"1"}, "other/keys": {"a": b"9"}}
        bed.pods.take(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1", **MOUNTS)}, secrets=told))
        await until(running(bed, "u1"))
        assert made == [{"keys": {"a": b"1"}}]
        assert b"keys" in (bed.pods.delta().pods["default/web"] or b"")
        assert bed.pods.delta().secrets == {}
        assert bed.pods._secrets == {"default/keys": {"a": b"1"}}
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": {"a": b"2"}}))
        await until(lambda: len(made) == 2)
        bed.pods.take(PodsDelta(pods={}, secrets={"default/keys": None}))
        await until(lambda: len(made) == 3)
        assert made[1:] == [{"keys": {"a": b"2"}}, {"keys": None}]
        bed.drop()
        assert bed.pods._secrets == {}

    play(story)


def test_files_follow_the_labels_of_a_pod_and_what_it_began_with_is_kept(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        made: list[dict[str, str]] = []
        bed.prepare = lambda pod, _place: made.append(dict(pod.metadata.labels))
        bed.want("u1", "10.244.0.1")
        await until(running(bed, "u1"))
        labelled = msgspec.json.decode(pod("u1", "10.244.0.1"))
        labelled["metadata"]["labels"] = {"a": "b"}
        for _ in range(2):
            bed.pods.take(PodsDelta(pods={"default/web": msgspec.json.encode(labelled)}))
            await until(lambda: made == [{}, {"a": "b"}])
        assert b'"a"' not in (bed.pods.delta().pods["default/web"] or b"")

    play(story)


def test_only_pods_that_mount_what_has_changed_are_looked_at(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        made: list[str] = []
        bed.prepare = lambda pod, _place: made.append(pod.metadata.uid)
        bed.want("u1", "10.244.0.1", "web", **MOUNTS)
        bed.want("u2", "10.244.0.2", "other")
        await until(lambda: running(bed, "u1")() and running(bed, "u2")())
        files = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"files","namespace":"default"}}'
        bed.pods.take(PodsDelta(pods={}, config_maps={"default/files": files}))
        await until(lambda: len(made) == 3)
        assert made[2] == "u1"

    play(story)


def test_a_full_delta_forgets_config_maps_that_nobody_mounts(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        files = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"files","namespace":"default"}}'
        bed.pods.take(PodsDelta(pods={}, config_maps={"default/files": files}))
        assert bed.pods.delta().config_maps == {"default/files": files}
        bed.pods.take(PodsDelta(pods={}, full=True))
        assert bed.pods.delta().config_maps == {}

    play(story)


def test_a_terminating_pod_is_ended_first_and_then_said_to_have_ended(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(running(bed, "u1"))
        bed.supervisor.gate.clear()
        bed.terminate("u1", "10.244.0.1", 30)
        await idle()
        assert all(status["phase"] != "Failed" for _, status in bed.reports)
        assert bed.pods.delta().pods == {}  # an agent that starts again does not begin it anew
        bed.supervisor.gate.set()
        await until(lambda: bed.reports[-1][1]["phase"] == "Failed")
        assert "removed u1" in bed.journal
        bed.drop()  # the controller has deleted it
        await idle()
        assert bed.journal.count("removed u1") == 1

    play(story)


def test_a_terminating_pod_that_this_agent_never_ran_is_said_to_have_ended(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.terminate("u1", "10.244.0.1", 30)
        await until(lambda: bool(bed.reports))
        assert bed.reports[0][1]["phase"] == "Failed"
        assert not bed.supervisor.processes

    play(story)


def test_a_pod_whose_time_is_over_is_killed(play: Play) -> None:
    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(running(bed, "u1"))
        bed.supervisor.gate.clear()
        bed.terminate("u1", "10.244.0.1", 3600)
        await idle()
        assert "kill n1/pods/u1/m" not in bed.journal
        bed.terminate("u1", "10.244.0.1", 0)
        await until(lambda: "kill n1/pods/u1/m" in bed.journal)
        bed.supervisor.gate.set()
        await bed.pods.settle()

    play(story)


def test_what_was_said_of_a_pod_is_said_again_now_and_then(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may have written there, or the controller could not write it then."""
    monkeypatch.setattr(pods, "REPEAT_SECONDS", 0.01)

    async def story(bed: PodBed) -> None:
        bed.want("u1", "10.244.0.1")
        await until(lambda: bed.status("u1").get("phase") == "Running")
        repeating = asyncio.create_task(bed.pods.repeat_statuses())
        said = bed.status("u1")
        bed.reports.clear()
        await until(lambda: bed.status("u1") == said)
        repeating.cancel()

    play(story)
