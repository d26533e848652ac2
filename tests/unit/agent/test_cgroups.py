"""With directories in place of the kernel's; in version 1 with the kernel: tests/system/controller/live."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tsujiban.agent import cgroups
from tsujiban.agent.cgroups import Controller, Group, Groups, Limits, find, limits_of
from tsujiban.agent.objects import ConfigError
from tsujiban.resources.kinds.core import Container

BOTH = Limits(Fraction(1, 4), 64 << 20)


def mounts(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mounts"
    path.write_text("".join(f"x {line} 0 0\n" for line in ("/ ext4 rw", *lines)))
    return path


def test_version_1(tmp_path: Path) -> None:
    memory, cpu = tmp_path / "memory", tmp_path / "cpu"
    memory.mkdir()
    cpu.mkdir()
    groups = find(mounts(tmp_path, f"{memory} cgroup rw,memory", f"{cpu} cgroup rw,cpuacct,cpu"))
    assert groups == Groups(Controller(memory), Controller(cpu))
    assert not list(memory.iterdir())  # looking changes nothing
    group = groups.group("c", "u", "web", BOTH)
    assert group is not None
    place = Path("tsujiban/c/u/c-web")
    assert group.directories == (memory / place, cpu / place)
    assert (group.oom, group.lacking) == (memory / place / "memory.oom_control", ())
    groups.make(group)
    assert not list((memory / place).iterdir())  # files that the kernel has not made are left alone
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (memory / place / name).touch()
    (cpu / place / "cpu.cfs_quota_us").touch()
    groups.make(group)
    assert {path.name: path.read_text() for path in (memory / place).iterdir()} == {
        "memory.limit_in_bytes": "67108864",
        "memory.memsw.limit_in_bytes": "67108864",
    }
    assert (cpu / place / "cpu.cfs_quota_us").read_text() == "25000"


def test_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert (
        find(mounts(tmp_path, f"{tmp_path} cgroup2 rw")) == Groups()
    )  # what is below the top offers nothing
    monkeypatch.setattr(cgroups, "_offered", lambda _directory: "+cpu +memory")
    groups = find(mounts(tmp_path, f"{tmp_path} cgroup2 rw"))
    assert groups == Groups(Controller(tmp_path, True), Controller(tmp_path, True))
    group = groups.group("c", "u", "web", BOTH)
    place = tmp_path / "tsujiban" / "c" / "u" / "c-web"
    limits = {"memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "25000 100000"}
    assert group == Group({place: limits}, place / "memory.events")
    groups.make(group)
    handed_on = [path.parent for path in tmp_path.rglob("cgroup.subtree_control")]
    assert sorted(handed_on) == [tmp_path, *reversed(place.parents[:3])]


def test_what_the_machine_has_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    assert find(mounts(tmp_path, f"{tmp_path} cgroup2 rw", f"{tmp_path}/none cgroup rw,memory")) == Groups()
    assert Groups().group("c", "u", "web", BOTH) == Group({}, None, ("memory", "cpu"))
    assert Groups(memory=Controller(tmp_path)).group("c", "u", "web", Limits()) is None


def test_they_go_with_their_pod_and_leave_those_of_others(tmp_path: Path) -> None:
    groups = Groups(memory=Controller(tmp_path), cpu=Controller(tmp_path))
    for uid in ("u1", "u2"):
        (tmp_path / "tsujiban" / "c" / uid / "web").mkdir(parents=True)
    groups.remove("c", "u1")
    groups.remove("c", "u1")
    assert [path.name for path in (tmp_path / "tsujiban" / "c").iterdir()] == ["u2"]
    groups.remove("c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        (None, Limits()),
        ({"requests": {"cpu": 1}}, Limits()),
        ({"limits": {"cpu": "250m", "memory": "64Mi", "ephemeral-storage": 1}}, BOTH),
        ({"limits": {"cpu": 0, "memory": "0"}}, Limits()),
        ({"limits": {"memory": "1000E"}}, Limits(memory=(1 << 63) - 1)),
    ],
)
def test_limits_as_they_are_written(resources: Any, limits: Limits) -> None:
    assert limits_of(Container(name="c", resources=resources)) == limits


@pytest.mark.parametrize("limits", [{"cpu": "much"}, {"memory": -1}])
def test_limits_that_are_none(limits: Any) -> None:
    with pytest.raises(ConfigError, match="limits"):
        limits_of(Container(name="c", resources={"limits": limits}))


def test_a_container_may_have_the_name_of_a_file_of_the_kernels(tmp_path: Path) -> None:
    groups = Groups(memory=Controller(tmp_path))
    pod = tmp_path / "tsujiban" / "c" / "u"
    pod.mkdir(parents=True)
    (pod / "tasks").touch()  # as in each directory of version 1
    group = groups.group("c", "u", "tasks", BOTH)
    assert group is not None
    groups.make(group)
    assert [path.is_dir() for path in group.directories] == [True]


def test_much_is_what_the_kernel_takes_at_most(tmp_path: Path) -> None:
    for unified, name, value in (
        (False, "cpu.cfs_quota_us", "17592186044415"),
        (True, "cpu.max", "17592186044415 100000"),
    ):
        groups = Groups(cpu=Controller(tmp_path, unified))
        group = groups.group("c", "u", "web", Limits(cpu=Fraction(175_921_861)))
        assert group is not None
        assert group.settings[group.directories[0]][name] == value


def test_little_is_what_the_kernel_takes_at_least(tmp_path: Path) -> None:
    group = Groups(cpu=Controller(tmp_path)).group("c", "u", "web", Limits(cpu=Fraction(1, 1000)))
    assert group is not None
    assert group.settings[group.directories[0]]["cpu.cfs_quota_us"] == "1000"
