"""The system calls that no sandbox has, as a classic BPF program for seccomp(2).

Capabilities, namespaces and a read-only view leave open some doors that no policy of ours could see:

- socket families that belong to no network namespace (AF_VSOCK reaches the hypervisor and other pods), so
  that only AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK are left; io_uring, which makes sockets past seccomp;
- the kernel's keyrings, which belong to no namespace: a container has the session keyring of whoever started
  the supervisor, with all that is in it, and so have all others;
- bpf, perf_event_open and userfaultfd, which a machine may leave to everybody, and no container needs;
- typing into the terminal of an operator who runs `tsujiban exec` (TIOCSTI, TIOCLINUX);
- user namespaces, in which a process without capabilities has all of them.

The node's Envoy (`proxy_program`) keeps CAP_SYS_ADMIN and CAP_NET_ADMIN, to enter network namespaces and
to mark its sockets. Nearly everything else that the two would allow is refused to it here: mounting,
making or entering namespaces of another kind, tracing, loading code into the kernel, and AF_NETLINK,
over which a pod's addresses, routes and redirect could be changed.

Pure. The refused call fails with an error number, the process goes on.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

FAMILIES = tuple(
    sorted(int(one) for one in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK))
)
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
ANY_NAMESPACE = 0x7E020000  # all CLONE_NEW* that clone(2) takes

# <linux/bpf_common.h>, <linux/seccomp.h>; struct seccomp_data: nr at 0, arch at 4, low halves of args from 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32 = 0x40000000  # bit of x86-64's second table of system calls
_INSTRUCTION = struct.Struct("<HBBI")  # struct sock_filter

Instruction = tuple[int, int, int, int]


# of all architectures: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, pidfd_getfd, mount_setattr
_NEWER_PRIVILEGED = (428, 429, 430, 431, 432, 433, 438, 442)


@dataclass(frozen=True)
class _Machine:
    """An architecture's AUDIT_ARCH_* and its numbers of system calls."""

    arch: int
    socket: int
    ioctl: int
    unshare: int
    clone: int
    setns: int
    everybodys: tuple[int, ...]  # keyrings (add_key, request_key, keyctl), bpf, perf_event_open, userfaultfd
    privileged: tuple[int, ...]  # what only a privileged process can do, and a proxy need not
    clone3: int = 435
    io_uring_setup: int = 425


_MACHINES = {
    "x86_64": _Machine(
        arch=0xC000003E,
        socket=41,
        ioctl=16,
        unshare=272,
        clone=56,
        setns=308,
        everybodys=(248, 249, 250, 321, 298, 323),
        privileged=(
            *(165, 166, 155, 161),  # mount, umount2, pivot_root, chroot
            *(167, 168, 169, 170, 171, 179),  # swapon, swapoff, reboot, sethostname, setdomainname, quotactl
            *(172, 173, 103, 163),  # iopl, ioperm, syslog, acct
            *(
                175,
                176,
                313,
                246,
                320,
            ),  # init_module, delete_module, finit_module, kexec_load, kexec_file_load
            *(101, 310, 311, 312),  # ptrace, process_vm_readv, process_vm_writev, kcmp
            *(303, 304, 300),  # file handles, fanotify_init
            *_NEWER_PRIVILEGED,
        ),
    ),
    "aarch64": _Machine(
        arch=0xC00000B7,
        socket=198,
        ioctl=29,
        unshare=97,
        clone=220,
        setns=268,
        everybodys=(217, 218, 219, 280, 241, 282),
        privileged=(
            *(40, 39, 41, 51),
            *(224, 225, 142, 161, 162, 60),
            *(116, 89),
            *(105, 106, 273, 104, 294),
            *(117, 270, 271, 272),
            *(264, 265, 262),
            *_NEWER_PRIVILEGED,
        ),
    ),
}

_PERMIT: Instruction = (_RETURN, 0, 0, _ALLOW)


def program(machine: str = "") -> bytes:
    """The filter of a machine (this one, when not named), an array of struct sock_filter.

    Raises KeyError for a machine that is not known.
    """
    calls = _MACHINES[machine or os.uname().machine]
    no_users = (_load(_FIRST), (_ANY_BIT, 0, 1, CLONE_NEWUSER), _fail(errno.EPERM), _PERMIT)
    return _assemble(calls, FAMILIES, (*_on(calls.unshare, *no_users), *_on(calls.clone, *no_users)))


def proxy_program(machine: str = "") -> bytes:
    """The filter of the node's Envoy; as `program`."""
    calls = _MACHINES[machine or os.uname().machine]
    no_netlink = tuple(family for family in FAMILIES if family != socket.AF_NETLINK)
    threads_only = (_load(_FIRST), (_ANY_BIT, 0, 1, ANY_NAMESPACE), _fail(errno.EPERM), _PERMIT)
    networks_only = (_load(_SECOND), (_EQUAL, 0, 1, CLONE_NEWNET), _PERMIT, _fail(errno.EPERM))
    more = (*_on(calls.clone, *threads_only), *_on(calls.setns, *networks_only))
    for number in (calls.unshare, *calls.privileged):
        more += _on(number, _fail(errno.EPERM))
    return _assemble(calls, no_netlink, more)


def _assemble(calls: _Machine, families: tuple[int, ...], more: tuple[Instruction, ...]) -> bytes:
    instructions: tuple[Instruction, ...] = (
        _load(_ARCH),
        (_EQUAL, 1, 0, calls.arch),
        _fail(errno.ENOSYS),  # of another architecture: its numbers mean other calls
        _load(_NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _fail(errno.ENOSYS),
        *_on(calls.socket, _load(_FIRST), *_one_of(families, _PERMIT, _fail(errno.EAFNOSUPPORT))),
        *(one for number in calls.everybodys for one in _on(number, _fail(errno.EPERM))),
        *_on(calls.ioctl, _load(_SECOND), *_one_of((TIOCSTI, TIOCLINUX), _fail(errno.EPERM), _PERMIT)),
        *more,
        *_on(calls.clone3, _fail(errno.ENOSYS)),  # its flags are in memory: the C library takes clone then
        *_on(calls.io_uring_setup, _fail(errno.ENOSYS)),
        _PERMIT,
    )
    return b"".join(_INSTRUCTION.pack(*one) for one in instructions)


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _fail(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)


def _on(number: int, *body: Instruction) -> tuple[Instruction, ...]:
    """`body`, which must return, for one system call; the next instruction for others."""
    return ((_EQUAL, 0, len(body), number), *body)


def _one_of(values: tuple[int, ...], then: Instruction, otherwise: Instruction) -> tuple[Instruction, ...]:
    tests = ((_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values))
    return (*tests, otherwise, then)
