import os

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
