import json
from pathlib import Path

import pytest

from tsujiban.agent import sandbox_init, shim
from tsujiban.agent.cgroups import Group
from tsujiban.agent.etcfiles import Names
from tsujiban.agent.sandbox import SHIM, Console, Mount, Sandbox, exec_command, write_file
from tsujiban.supervise.spec import ProcessSpec

SANDBOX = Sandbox(
    cluster="c",
    uid="u-1",
    directory=Path("/run/tsujiban/c/node-1/sandboxes/u-1"),
    names=Names(hostname="web-1"),
)


def _config(spec: ProcessSpec) -> dict[str, object]:
    config = json.loads(spec.env[sandbox_init.VARIABLE])
    assert isinstance(config, dict)
    return config


def test_the_users_environment_is_in_no_argument_and_not_in_force() -> None:
    spec = SANDBOX.process(
        "p", ("app",), uid=300001, gid=300001, env={"LD_PRELOAD": "/evil", "KEY": "secret"}
    )
    assert list(spec.env) == [sandbox_init.VARIABLE]
    assert not any("secret" in part or "evil" in part for part in spec.argv)
    environment = _config(spec)["env"]
    assert isinstance(environment, dict)
    assert environment["KEY"] == "secret"
    assert environment["HOSTNAME"] == "web-1"


def test_every_namespace_is_its_own() -> None:
    spec = SANDBOX.process("p", ("app",), uid=1, gid=1)
    assert {"--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"} <= set(spec.argv)
    assert spec.netns == SANDBOX.netns_path
    spec.check()


def test_tsujibans_directories_are_hidden() -> None:
    config = _config(SANDBOX.process("p", ("app",), uid=1, gid=1, mounts=(Mount("/a", "/b", True),)))
    assert config["hide"] == ["/run/tsujiban", "/run/netns", "/var/lib/tsujiban"]
    mounts = config["mounts"]
    assert isinstance(mounts, list)
    assert mounts[-1] == {"source": "/a", "target": "/b", "writable": True}
    assert [entry["writable"] for entry in mounts[:-1]] == [False, False, False]


def test_equal_sandboxes_give_equal_specifications() -> None:
    first = SANDBOX.process("p", ("app",), uid=1, gid=1, env={"A": "1", "B": "2"})
    assert first == SANDBOX.process("p", ("app",), uid=1, gid=1, env={"B": "2", "A": "1"})


def test_nothing_can_be_executed_where_nothing_runs() -> None:
    spec = SANDBOX.process("p", ("app",), uid=1, gid=1)
    with pytest.raises(LookupError, match="no running sandbox"):
        exec_command(spec, 2**22 - 1, ("id",))


def test_files_are_changed_in_place_and_only_when_needed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_file(path, b"1", 0o600)
    before = path.stat()
    write_file(path, b"1", 0o600)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    write_file(path, b"22", 0o644)
    assert (path.read_bytes(), path.stat().st_ino) == (b"22", before.st_ino)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "f").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=r"symbolic|loop"):
        write_file(tmp_path / "f", b"y", 0o600)
    assert (tmp_path / "target").read_text() == "x"


def test_what_can_be_attached_to_has_a_shim_of_which_the_sandbox_knows_nothing() -> None:
    path = SANDBOX.shim_socket("c")
    assert path == SANDBOX.directory / "attach" / "c"
    spec = SANDBOX.process("p", ("app",), uid=7, gid=7, console=Console(path=path, stdin=True, once=True))
    assert spec.argv[: len(SHIM)] == SHIM
    assert json.loads(spec.env[shim.VARIABLE]) == {
        "socket": str(path), "stdin": True, "once": True, "terminal": False, "uid": 7, "gid": 7,
    }  # fmt: skip
    assert "terminal" not in _config(spec)
    terminal = _config(
        SANDBOX.process("p", ("app",), uid=7, gid=7, console=Console(path=path, terminal=True))
    )
    assert terminal["terminal"] is True
    environment = terminal["env"]
    assert isinstance(environment, dict)
    assert environment["TERM"] == "xterm"


def test_a_container_joins_its_control_groups_and_so_does_what_is_run_in_it() -> None:
    place = Path("/sys/fs/cgroup/memory/tsujiban/c/u-1/c")
    spec = SANDBOX.process(
        "p", ("app",), uid=7, gid=7, group=Group({place: {}}, place / "memory.oom_control")
    )
    assert _config(spec)["cgroups"] == [str(place)]
    assert spec.oom == f"{place}/memory.oom_control"
    lacking = SANDBOX.process("p", ("app",), uid=7, gid=7, group=Group({}, None, ("cpu",)))
    assert "cgroups" not in _config(lacking)
    assert lacking.oom == ""
