"""The system calls that no sandbox has, as a classic BPF program for seccomp(2).

Capabilities, namespaces and a read-only view leave open some doors that no policy of ours could see:

- socket families that belong to no network namespace (AF_VSOCK reaches the hypervisor and other pods), so
  that only AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK are left; io_uring, which makes sockets past seccomp;
- typing into the terminal of an operator who runs `tsujiban exec` (TIOCSTI, TIOCLINUX);
- user namespaces, in which a process without capabilities has all of them.

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

# <linux/bpf_common.h>, <linux/seccomp.h>; struct seccomp_data: nr at 0, arch at 4, low halves of args from 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32 = 0x40000000  # bit of x86-64's second table of system calls
_INSTRUCTION = struct.Struct("<HBBI")  # struct sock_filter

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Machine:
    """An architecture's AUDIT_ARCH_* and its numbers of system calls."""

    arch: int
    socket: int
    ioctl: int
    unshare: int
    clone: int
    clone3: int = 435
    io_uring_setup: int = 425


_MACHINES = {
    "x86_64": _Machine(arch=0xC000003E, socket=41, ioctl=16, unshare=272, clone=56),
    "aarch64": _Machine(arch=0xC00000B7, socket=198, ioctl=29, unshare=97, clone=220),
}

_PERMIT: Instruction = (_RETURN, 0, 0, _ALLOW)


def program(machine: str = "") -> bytes:
    """The filter of a machine (this one, when not named), an array of struct sock_filter.

    Raises KeyError for a machine that is not known.
    """
    calls = _MACHINES[machine or os.uname().machine]
    no_users = (_load(_FIRST), (_ANY_BIT, 0, 1, CLONE_NEWUSER), _fail(errno.EPERM), _PERMIT)
    instructions: tuple[Instruction, ...] = (
        _load(_ARCH),
        (_EQUAL, 1, 0, calls.arch),
        _fail(errno.ENOSYS),  # of another architecture: its numbers mean other calls
        _load(_NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _fail(errno.ENOSYS),
        *_on(calls.socket, _load(_FIRST), *_one_of(FAMILIES, _PERMIT, _fail(errno.EAFNOSUPPORT))),
        *_on(calls.ioctl, _load(_SECOND), *_one_of((TIOCSTI, TIOCLINUX), _fail(errno.EPERM), _PERMIT)),
        *_on(calls.unshare, *no_users),
        *_on(calls.clone, *no_users),
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
