"""The filter, by an interpreter of the few instructions that it is made of."""

import errno
import struct

import pytest

from tsujiban.agent import seccomp

ALLOWED = 0x7FFF0000
X86, ARM = 0xC000003E, 0xC00000B7


def ask(
    number: int, *arguments: int, machine: str = "x86_64", arch: int = X86, proxy: bool = False
) -> int | None:
    """The errno that a call of a sandbox, or of the node's Envoy, gets; None when it is allowed."""
    program = seccomp.proxy_program(machine) if proxy else seccomp.program(machine)
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("<HBBI", program))
    at, loaded = 0, 0
    while True:
        what, yes, no, value = code[at]
        at += 1
        if what == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        elif what == 0x06:
            return None if value == ALLOWED else value & 0xFFFF
        else:
            test = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[what]
            at += yes if test else no


@pytest.mark.parametrize(("machine", "arch", "number"), [("x86_64", X86, 41), ("aarch64", ARM, 198)])
def test_only_families_of_a_network_namespace(machine: str, arch: int, number: int) -> None:
    allowed = [family for family in range(64) if ask(number, family, machine=machine, arch=arch) is None]
    assert allowed == [1, 2, 10, 16]
    assert ask(number, 40, machine=machine, arch=arch) == errno.EAFNOSUPPORT
    # the kernel takes an int: what is above does not count
    assert ask(number, 40 | 1 << 32, machine=machine, arch=arch) == errno.EAFNOSUPPORT


@pytest.mark.parametrize(("machine", "arch", "number"), [("x86_64", X86, 16), ("aarch64", ARM, 29)])
def test_nothing_is_typed_into_a_terminal(machine: str, arch: int, number: int) -> None:
    refused = [
        request for request in range(0x5400, 0x5500) if ask(number, 0, request, machine=machine, arch=arch)
    ]
    assert refused == [0x5412, 0x541C]
    assert ask(number, 0, 0x5412 | 7 << 32, machine=machine, arch=arch) == errno.EPERM


@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize(
    ("machine", "arch", "calls"),
    [("x86_64", X86, (248, 249, 250, 321, 298, 323)), ("aarch64", ARM, (217, 218, 219, 280, 241, 282))],
)
def test_what_the_kernel_has_for_everybody_is_not_for_pods(
    machine: str, arch: int, calls: tuple[int, ...], proxy: bool
) -> None:
    for number in calls:
        assert ask(number, machine=machine, arch=arch, proxy=proxy) == errno.EPERM


@pytest.mark.parametrize(
    ("machine", "arch", "unshare", "clone"), [("x86_64", X86, 272, 56), ("aarch64", ARM, 97, 220)]
)
def test_no_user_namespaces(machine: str, arch: int, unshare: int, clone: int) -> None:
    for number in (unshare, clone):
        assert ask(number, 0x10000000, machine=machine, arch=arch) == errno.EPERM
        assert ask(number, 0x10000000 | 0x20000 | 17, machine=machine, arch=arch) == errno.EPERM
        assert ask(number, 0x003D0F00, machine=machine, arch=arch) is None  # a thread
    assert ask(435, machine=machine, arch=arch) == errno.ENOSYS
    assert ask(425, machine=machine, arch=arch) == errno.ENOSYS


def test_another_table_of_system_calls_is_no_way_round() -> None:
    assert ask(41, 40, arch=0x40000003) == errno.ENOSYS  # i386
    assert ask(0x40000000 | 41, 40) == errno.ENOSYS  # x32
    assert ask(0) is None


def test_an_unknown_machine_gets_no_filter_of_another() -> None:
    with pytest.raises(KeyError):
        seccomp.program("riscv64")


@pytest.mark.parametrize(
    ("machine", "arch", "calls"),
    [
        # mount, umount2, pivot_root, ptrace, bpf, init_module, kexec_load, unshare
        ("x86_64", X86, (165, 166, 155, 101, 321, 175, 246, 272)),
        ("aarch64", ARM, (40, 39, 41, 117, 280, 105, 104, 97)),
    ],
)
def test_the_nodes_proxy_cannot_use_its_capabilities_for_anything_else(
    machine: str, arch: int, calls: tuple[int, ...]
) -> None:
    for number in (*calls, 428, 429, 430, 431, 432, 438, 442):
        assert ask(number, machine=machine, arch=arch, proxy=True) == errno.EPERM


@pytest.mark.parametrize(
    ("machine", "arch", "setns", "clone", "socket"),
    [("x86_64", X86, 308, 56, 41), ("aarch64", ARM, 268, 220, 198)],
)
def test_the_nodes_proxy_enters_networks_and_nothing_else(
    machine: str, arch: int, setns: int, clone: int, socket: int
) -> None:
    def its(number: int, *arguments: int) -> int | None:
        return ask(number, *arguments, machine=machine, arch=arch, proxy=True)

    assert its(setns, 3, 0x40000000) is None
    for kind in (0, 0x20000, 0x10000000, 0x20000000, 0x40000000 | 0x20000):
        assert its(setns, 3, kind) == errno.EPERM
    for kind in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert its(clone, kind) == errno.EPERM
    assert its(clone, 0x003D0F00) is None
    assert [family for family in range(64) if its(socket, family) is None] == [1, 2, 10]
