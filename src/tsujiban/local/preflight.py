"""Can this machine run a cluster? Asked before anything is made, and answered with the remedies.

Tools are looked up; what the kernel can do is not read from a version but tried, in a network
namespace of its own that is gone afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable

from tsujiban.local import leftovers
from tsujiban.network import links, namespaces
from tsujiban.proxy.binary import EnvoyMissingError, locate
from tsujiban.resources.names import link_name
from tsujiban.supervise.netns import call_in, namespace_path

PYTHON = (3, 11)
# tool -> Debian package
TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "bird": "bird2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
EXTRA_TOOLS = {"etcd": "etcd-server", "tcpdump": "tcpdump", "curl": "curl"}
RULES = """
table inet probe {
  set peers { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
  set senders { type ifname; size 9; flags dynamic,timeout; timeout 9s; }
  set held { type ifname; size 9; flags dynamic; }
  map chains { type ifname : verdict; }
  chain decide { ct state established accept; meta mark set 1; log prefix "probe" group 7 counter drop; }
  chain forward { type filter hook forward priority 0; policy drop; ip saddr @peers iifname vmap @chains; }
  chain share { update @senders { iifname limit rate 9/second } add @held { iifname ct count over 9 } drop; }
  chain out { type nat hook output priority -100; meta skuid 200000 return; tcp dport 80 redirect to :15001; }
  chain translate {
    type nat hook prerouting priority -100;
    dnat ip to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 };
  }
}
"""


class PreflightError(Exception):
    """What is missing, each with its remedy, one a line."""


def check(*extra: str) -> None:
    """Refuse a machine that cannot run a cluster. `extra` are further tools (keys of EXTRA_TOOLS).

    Raises PreflightError with all that is missing.
    """
    problems = [*python_problems(sys.version_info[:2]), *tool_problems({*TOOLS, *extra}, shutil.which)]
    problems += _envoy_problems()
    if os.geteuid() != 0:
        problems.append("this needs root: namespaces, nftables and pods' users are the kernel's; use sudo")
    if not problems:
        problems = [*_bird_problems(), *kernel_problems()]
    if problems:
        raise PreflightError("\n".join(problems))


def check_free(cluster: str) -> None:
    """Refuse a cluster name that is in use. Raises PreflightError, FabricError."""
    remedy = (
        f"end it with `tsujiban down --keep-state --cluster {cluster}`, which keeps its objects (without "
        "--keep-state nothing is kept), or take another name with --cluster"
    )
    if leftovers.is_live(cluster):
        raise PreflightError(f"cluster {cluster} is already up: {remedy}")
    found = leftovers.find(cluster)
    if found:
        what = f"{len(found.namespaces)} namespaces and {len(found.processes)} processes"
        raise PreflightError(f"something of a cluster {cluster} is still here ({what}): {remedy}")


def python_problems(version: tuple[int, ...]) -> list[str]:
    """Too old a Python."""
    if version >= PYTHON:
        return []
    return [f"Python {'.'.join(map(str, version))} is too old: 3.11 or newer is needed"]


def tool_problems(tools: set[str], which: Callable[[str], str | None]) -> list[str]:
    """Tools that are not on PATH, with the package that has each."""
    packages = TOOLS | EXTRA_TOOLS
    missing = sorted(tool for tool in tools if which(tool) is None)
    return [f"`{tool}` is not installed: apt-get install {packages.get(tool, tool)}" for tool in missing]


def bird_version_problems(answer: str) -> list[str]:
    """`bird --version` must say 2 or newer."""
    match = re.search(r"(\d+)\.\d+", answer)
    if match and int(match.group(1)) >= 2:
        return []
    return [f"BIRD 2 is needed, this is {answer.strip() or 'unknown'!r}: apt-get install bird2"]


def _bird_problems() -> list[str]:
    done = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=False)
    return bird_version_problems(done.stdout + done.stderr)


def _envoy_problems() -> list[str]:
    try:
        locate()
    except EnvoyMissingError as error:
        return [str(error)]
    return []


def kernel_problems() -> list[str]:
    """Try namespaces, veth, nftables and private mounts in scratch namespaces."""
    near, far = (f"tsjcheck{os.getpid()}{letter}" for letter in "ab")
    try:
        try:
            for name in (near, far):
                namespaces.create(name)
        except namespaces.NamespaceError as error:
            return [f"network namespaces cannot be made ({error}): run on the machine, or as --privileged"]
        path = namespace_path(near)
        return [*_link_problems(path, far), *_nft_problems(path), *_mount_problems()]
    finally:
        for name in (near, far):
            namespaces.delete(name)


def _link_problems(path: str, far: str) -> list[str]:
    link = links.PodLink(uid=far, namespace=far, addresses=("10.0.0.1",))
    try:
        call_in(path, lambda: links.add(link))
        call_in(path, lambda: socket.if_nametoindex(link_name(far)))
    except OSError as error:
        return [f"a veth pair cannot be made ({error}): the kernel needs CONFIG_VETH; modprobe veth"]
    return []


def _nft_problems(path: str) -> list[str]:
    def load() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["nft", "-f", "-"], input=RULES, capture_output=True, text=True, check=False)

    done = call_in(path, load)
    if done.returncode == 0:
        return []
    first = (done.stderr.strip().splitlines() or ["no reason given"])[0]
    return [
        f"nftables lacks something ({first}): the kernel needs nf_tables with conntrack, NAT, log, limit and "
        "connlimit; modprobe nf_tables nft_ct nft_nat nft_log nft_redir nft_limit nft_connlimit nfnetlink_log"
    ]


def _mount_problems() -> list[str]:
    argv = [
        "unshare",
        "--mount",
        "--uts",
        "--ipc",
        "--pid",
        "--fork",
        "mount",
        "-t",
        "tmpfs",
        "tmpfs",
        "/mnt",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    problems = []
    if done.returncode:
        problems.append(
            f"mount and PID namespaces cannot be made ({done.stderr.strip()}): root must be real root"
        )
    release = os.uname().release
    if tuple(int(part) for part in re.findall(r"\d+", release)[:2]) < (5, 12):
        problems.append(f"kernel {release} is too old: 5.12 or newer is needed (mount_setattr)")
    return problems
