import subprocess

import pytest
from tests.support import machine
from tests.support.wait import PATIENCE

from tsujiban.local import leftovers, preflight
from tsujiban.network import namespaces
from tsujiban.resources.names import cluster_prefix

pytestmark = pytest.mark.system


def test_processes_inside_are_found_and_removed_with_the_namespaces() -> None:
    with machine.fabric(1) as fabric, machine.fabric(1) as other:
        children = [
            subprocess.Popen(["ip", "netns", "exec", place.node("node-1", 1).namespace, "sleep", "1000"])
            for place in (fabric, other)
        ]
        try:
            while children[0].pid not in leftovers.find(fabric.cluster).processes:
                assert children[0].poll() is None
            with pytest.raises(preflight.PreflightError, match="tsujiban down"):
                preflight.check_free(fabric.cluster)
            assert leftovers.remove(fabric.cluster)
            assert children[0].wait(PATIENCE) == -9
            assert namespaces.names(cluster_prefix(fabric.cluster)) == []
            assert not leftovers.find(fabric.cluster)
            assert leftovers.remove(fabric.cluster) is False
            preflight.check_free(fabric.cluster)
            assert children[1].poll() is None
        finally:
            for child in children:
                child.kill()
                child.wait()
