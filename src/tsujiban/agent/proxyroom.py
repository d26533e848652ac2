"""Where the node's Envoy lives: a sandbox without a pod, that can see every pod's network namespace.

Like any sandbox (`agent.sandbox`) it has its own mount, PID, UTS and IPC namespaces and an own user.
It keeps two capabilities, and /run/netns is there: as it is now, and as it will be, for a pod that
comes later must be seen too. So mounts come in from the machine, and none go out. Its first process
stays, and has a new Envoy take over from the old one (`agent.proxy_init`). Pure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tsujiban.agent import proxy_init, sandbox_init, seccomp
from tsujiban.agent.sandbox import HIDDEN, PATH, Mount
from tsujiban.supervise.netns import NETNS_DIR
from tsujiban.supervise.spec import ProcessSpec, Restart

CAPABILITIES = ("net_admin", "sys_admin")
_NUMBERS = {"net_admin": 12, "sys_admin": 21}  # <linux/capability.h>
_INIT = (sys.executable, "-IS", str(Path(proxy_init.__file__)))
_UNSHARE = (
    *("unshare", "--mount", "--net", "--uts", "--ipc", "--pid"),
    *("--fork", "--kill-child", "--propagation=slave", "--"),
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
        argv=(*_UNSHARE, *_INIT),
        env={sandbox_init.VARIABLE: json.dumps(config, sort_keys=True)},
        restart=Restart.ALWAYS,
        grace=5.0,
        order=4,
    )
