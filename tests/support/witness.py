"""What local clusters say of themselves when a test has failed: what they wait for, and their last words."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.wait import PATIENCE

from tsujiban.local import plight
from tsujiban.local.client import Client
from tsujiban.local.cluster import LocalCluster, open_cluster
from tsujiban.local.down import down
from tsujiban.local.layout import RUN_ROOT
from tsujiban.local.up import up


def accounts() -> list[tuple[str, str]]:
    """The name of each cluster of this machine, and its account."""
    names = sorted(record.parent.name for record in RUN_ROOT.glob("*/cluster.json"))
    return [(name, plight.tell(open_cluster(name))) for name in names]


class Patient(LocalCluster):
    """A cluster that is asked by somebody who waits longer than people do: on a machine whose cores are
    others', every process may stand still for seconds."""

    def client(self) -> Client:
        """As administrator."""
        made = super().client()
        made.hurry(PATIENCE)
        return made

    def socket_in_pod(
        self, namespace: str, pod: str, address: str, port: int, seconds: float = PATIENCE
    ) -> socket.socket:
        """See `LocalCluster`."""
        return super().socket_in_pod(namespace, pod, address, port, seconds)


@contextmanager
def cluster(name: str, nodes: int = 2, **how: Any) -> Iterator[LocalCluster]:
    """A cluster of that name, from nothing and taken down again. What goes wrong inside carries its account:
    when the report is written, the cluster is gone."""
    down(name)
    try:
        found = up(name, nodes, lambda _: None, **how)
        made = Patient(found.layout, found.record)
        try:
            yield made
        except BaseException as error:
            error.add_note(plight.tell(made))
            raise
    finally:
        down(name)
