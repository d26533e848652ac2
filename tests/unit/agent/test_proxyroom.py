from __future__ import annotations

import json
from pathlib import Path

from tsujiban.agent import sandbox_init, seccomp
from tsujiban.agent.proxyroom import command, proxy_room
from tsujiban.agent.sandbox import Mount


def test_it_sees_pods_namespaces_and_its_own_mounts_and_keeps_two_capabilities() -> None:
    spec = proxy_room("n1/proxy", ("/envoy",), stage=Path("/stage"), uid=400_001, mounts=(Mount("/a", "/b"),))
    spec.check()
    config = json.loads(spec.env[sandbox_init.VARIABLE])
    assert config["keep"] == [12, 21]  # CAP_NET_ADMIN, CAP_SYS_ADMIN
    assert (config["uid"], config["gid"]) == (400_001, 400_001)
    assert config["mounts"] == [
        {"source": "/a", "target": "/b", "writable": False},
        {"source": "/run/netns", "target": "/run/netns", "writable": False},
    ]
    assert config["hide"] == ["/run/tsujiban", "/var/lib/tsujiban"]
    assert config["forbidden"] == seccomp.proxy_program().hex()


def test_it_is_in_an_empty_network_and_later_namespaces_come_in() -> None:
    spec = proxy_room("n1/proxy", ("/envoy",), stage=Path("/stage"), uid=1, mounts=())
    assert spec.netns == ""
    assert "--net" in spec.argv
    assert "--propagation=slave" in spec.argv


def test_a_sidecar_has_one_worker_and_the_node_s_as_many_as_it_is_given() -> None:
    def concurrency(*more: int) -> str:
        found = command(Path("/venv/lib/envoy/_bin/envoy"), *more)
        return found[found.index("--concurrency") + 1]

    assert concurrency() == "1"
    assert concurrency(4) == "4"
