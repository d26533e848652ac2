"""What local clusters say of themselves when a test has failed: what they wait for, and their last words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tsujiban.local import plight
from tsujiban.local.cluster import LocalCluster, open_cluster
from tsujiban.local.down import down
from tsujiban.local.layout import RUN_ROOT
from tsujiban.local.up import up


def accounts() -> list[tuple[str, str]]:
    """The name of each cluster of this machine, and its account."""
    names = sorted(record.parent.name for record in RUN_ROOT.glob("*/cluster.json"))
    return [(name, plight.tell(open_cluster(name))) for name in names]


@contextmanager
def cluster(name: str, nodes: int = 2, **how: Any) -> Iterator[LocalCluster]:
    """A cluster of that name, from nothing and taken down again. What goes wrong inside carries its account:
    when the report is written, the cluster is gone."""
    down(name)
    try:
        made = up(name, nodes, lambda _: None, **how)
        try:
            yield made
        except BaseException as error:
            error.add_note(plight.tell(made))
            raise
    finally:
        down(name)
