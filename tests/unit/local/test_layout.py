"""Paths of a cluster cannot leave its own directories, and names of nodes are bounded."""

from __future__ import annotations

import pytest

from tsujiban.local.layout import Layout, node_names


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "a-b", "x" * 21, "1a", "a b"])
def test_a_name_that_is_not_safe_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cluster name"):
        Layout(name)


def test_everything_is_below_the_clusters_own_directories() -> None:
    layout = Layout("bank")
    for path in (
        layout.supervisor_socket,
        layout.controller_config,
        layout.record,
        layout.node_run("node-1"),
        layout.agent_config("node-1"),
    ):
        assert path.is_relative_to(layout.run)
    for path in (layout.kubeconfig, layout.controller_state, layout.node_state("n"), layout.join_file("n")):
        assert path.is_relative_to(layout.state)


def test_node_names() -> None:
    assert node_names(2) == ["node-1", "node-2"]
    for count in (0, 201):
        with pytest.raises(ValueError, match="nodes"):
            node_names(count)
