"""`down` removes what there is, also without a supervisor, and keeps state only when asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.local import layout as layouts
from tsujiban.local import leftovers
from tsujiban.local.down import down
from tsujiban.local.layout import Layout


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(layouts, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(layouts, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(leftovers, "remove", lambda name: False)
    return Layout("t")


def test_nothing_there(layout: Layout) -> None:
    assert not down("t")


def test_a_half_made_cluster_whose_supervisor_never_was(layout: Layout) -> None:
    layout.node_run("node-1").mkdir(parents=True)
    layout.controller_state.mkdir(parents=True)
    assert down("t")
    assert not layout.run.parent.exists()
    assert not layout.state.parent.exists()
    assert not down("t")


def test_what_is_another_clusters_stays(layout: Layout) -> None:
    layout.run.mkdir(parents=True)
    other = Layout("other").run
    other.mkdir()
    assert down("t")
    assert not layout.run.exists()
    assert other.exists()


def test_state_is_kept_when_asked(layout: Layout) -> None:
    layout.run.mkdir(parents=True)
    layout.controller_state.mkdir(parents=True)
    (layout.controller_state / "store.db").touch()
    assert down("t", keep_state=True)
    assert not layout.run.exists()
    assert (layout.controller_state / "store.db").exists()


def test_what_is_found_by_namespace_counts(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "remove", lambda name: True)
    assert down("t")


def test_a_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        down("../etc")
