from tsujiban.supervise.command import command_line
from tsujiban.supervise.spec import ProcessSpec


def test_plain_root_process_may_gain_nothing() -> None:
    assert command_line(ProcessSpec(name="a", argv=("x", "-y"))) == [
        "setpriv",
        "--no-new-privs",
        "--",
        "x",
        "-y",
    ]


def test_nothing_is_wrapped_without_need() -> None:
    assert command_line(ProcessSpec(name="a", argv=("x",), no_new_privs=False)) == ["x"]


def test_namespace_then_rights_then_directory() -> None:
    spec = ProcessSpec(
        name="a",
        argv=("x",),
        netns="/run/netns/n",
        uid=5,
        gid=6,
        bounding=("net_admin", "net_raw"),
        ambient=("net_raw",),
        cwd="/srv",
    )
    assert command_line(spec) == [
        "nsenter",
        "--net=/run/netns/n",
        "--",
        "setpriv",
        "--reuid=5",
        "--regid=6",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all,+net_admin,+net_raw",
        "--inh-caps=-all,+net_raw",
        "--ambient-caps=-all,+net_raw",
        "--",
        "env",
        "--chdir=/srv",
        "--",
        "x",
    ]


def test_an_empty_bounding_set_takes_everything() -> None:
    spec = ProcessSpec(name="a", argv=("x",), bounding=(), no_new_privs=False)
    assert command_line(spec) == ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", "x"]
