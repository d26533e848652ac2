import os
from pathlib import Path

import pytest
from tests.support import machine

from tsujiban.network import namespaces
from tsujiban.supervise.netns import call_in, namespace_path

pytestmark = pytest.mark.system


def test_making_and_removing_may_be_repeated() -> None:
    name = machine.unique_cluster()
    try:
        assert namespaces.create(name)
        assert not namespaces.create(name)
        assert namespaces.names(name) == [name]
    finally:
        namespaces.delete(name)
        namespaces.delete(name)
    assert not namespaces.exists(name)


def test_what_was_left_half_made_is_made_anew() -> None:
    """`ip` was killed, say with the agent that had called it, when it had made the file and no namespace."""
    name = machine.unique_cluster()
    namespaces.create(name)  # from now on there is a directory
    try:
        namespaces.delete(name)
        left = Path(namespace_path(name))
        left.touch(mode=0)
        assert not namespaces.exists(name)
        assert namespaces.names(name) == [name]
        assert namespaces.create(name)
        assert call_in(str(left), lambda: os.stat("/proc/thread-self/ns/net").st_ino) == left.stat().st_ino
        namespaces.delete(name)
        left.touch(mode=0)
        namespaces.delete(name)
        assert not left.exists()
    finally:
        namespaces.delete(name)


def test_only_the_calling_thread_moves_and_sysctls_are_the_namespaces() -> None:
    name = machine.unique_cluster()
    namespaces.create(name)
    try:
        path = namespace_path(name)
        ours = os.stat("/proc/self/ns/net").st_ino
        assert (
            call_in(path, lambda: os.stat("/proc/thread-self/ns/net").st_ino) == os.stat(path).st_ino != ours
        )
        assert os.stat("/proc/thread-self/ns/net").st_ino == ours
        call_in(path, lambda: namespaces.write_sysctl("ipv4/ip_default_ttl", "33"))
        assert call_in(path, lambda: _ttl()) == "33"
        assert _ttl() != "33"
        with pytest.raises(ZeroDivisionError):
            call_in(path, lambda: 1 // 0)
    finally:
        namespaces.delete(name)


def _ttl() -> str:
    with open("/proc/sys/net/ipv4/ip_default_ttl") as file:
        return file.read().strip()
