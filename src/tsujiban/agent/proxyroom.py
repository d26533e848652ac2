"""Where Envoys live: a sidecar in its pod's sandbox, the node's in a sandbox without a pod.

The first process of either stays, and has a new Envoy take over from the old one (`agent.proxy_init`). What
is shared between the two is in the room's own /dev/shm and /tmp. Not in the abstract namespace of Unix
sockets, where Envoy puts it by default: that belongs to the network namespace, and in a pod's there is the
application, too, which could end an Envoy by a datagram, or ask it for its listening sockets.

Like any sandbox (`agent.sandbox`) that of the node's Envoy has its own mount, PID, UTS and IPC namespaces
and an own user. It keeps two capabilities, and can see every pod's network namespace: /run/netns is there, as
it is now, and as it will be, for a pod that comes later must be seen too. So mounts come in from the machine,
and none go out. Pure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tsujiban.agent import proxy_init, sandbox_init, seccomp
from tsujiban.agent.sandbox import HIDDEN, PATH, Mount
from tsujiban.proxy.bootstrap import argv
from tsujiban.proxy.standin import HANDOVER
from tsujiban.supervise.netns import NETNS_DIR
from tsujiban.supervise.spec import ProcessSpec, Restart

CAPABILITIES = ("net_admin", "sys_admin")
_NUMBERS = {"net_admin": 12, "sys_admin": 21}  # <linux/capability.h>
INIT = (sys.executable, "-IS", str(Path(proxy_init.__file__)))
INSIDE = "/run/tsujiban-proxy"  # where an Envoy sees its directory
OWNERS = "owners"  # who owns which address, in the node's directory
OWNERS_INSIDE = "/run/tsujiban-owners"  # and where an Envoy sees it
BINARY = "/run/tsujiban-envoy"  # and itself, wherever on the machine it is installed
CONFIG = "bootstrap.json"
_UNSHARE = (
    *("unshare", "--mount", "--net", "--uts", "--ipc", "--pid"),
    *("--fork", "--kill-child", "--propagation=slave", "--"),
)


def command(binary: Path, workers: int = 1) -> tuple[str, ...]:
    """The command line of the Envoy that is `binary` outside; `workers` threads carry connections."""
    inside, config = Path(BINARY, *binary.parts[-3:]), Path(INSIDE, CONFIG)
    return tuple(argv(inside, config, concurrency=workers, handover=HANDOVER))


def mounts(directory: Path, owners: Path, binary: Path) -> tuple[Mount, ...]:
    """What an Envoy must see: its directory, who owns which address, and where it is installed; all of where
    packages are, for an upgrade of Envoy's puts a new directory there."""
    return (
        Mount(str(directory), INSIDE),
        Mount(str(owners), OWNERS_INSIDE),
        Mount(str(binary.parents[2]), BINARY),
    )


def proxy_room(
    name: str, argv: tuple[str, ...], *, stage: Path, uid: int, mounts: tuple[Mount, ...]
) -> ProcessSpec:
    """The specification of a process there. `stage` is an empty directory of root's."""
    shown = (*mounts, Mount(str(NETNS_DIR), str(NETNS_DIR)))
    config = {
        "stage": str(stage),
        "hostname": "proxy",
        "hide": [path for path in HIDDEN if path != str(NETNS_DIR)],
        "mounts": [{"source": one.source, "target": one.target, "writable": one.writable} for one in shown],
        "uid": uid,
        "gid": uid,
        "keep": [_NUMBERS[one] for one in CAPABILITIES],
        "forbidden": seccomp.proxy_program().hex(),
        "cwd": "/",
        "argv": list(argv),
        "env": {"PATH": PATH, "HOSTNAME": "proxy", "HOME": "/tmp"},  # noqa: S108
    }
    return ProcessSpec(
        name=name,
        argv=(*_UNSHARE, *INIT),
        env={sandbox_init.VARIABLE: json.dumps(config, sort_keys=True)},
        restart=Restart.ALWAYS,
        grace=5.0,
        order=4,
    )
