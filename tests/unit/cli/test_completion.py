from __future__ import annotations

import pytest
from click.testing import CliRunner

from tsujiban.cli.complete import kinds, targets
from tsujiban.cli.get import get
from tsujiban.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_TSUJIBAN_COMPLETE" in result.output


def test_kinds_that_share_a_name_get_their_group() -> None:
    context, parameter = get.make_context("get", ["pods"]), get.params[0]
    words = [item.value for item in kinds(context, parameter, "networkpol")]
    assert words == ["networkpolicies", "networkpolicies.projectcalico.org"]


def test_without_a_cluster_names_complete_to_nothing() -> None:
    context, parameter = get.make_context("get", ["pods", "--cluster", "nowhere"]), get.params[0]
    assert targets(context, parameter, "we") == []
