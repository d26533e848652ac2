import pytest

from tsujiban.local import preflight
from tsujiban.network import namespaces

pytestmark = pytest.mark.system


def test_this_machine_can_and_nothing_is_left_of_the_trial() -> None:
    preflight.check(*preflight.EXTRA_TOOLS.keys() & {"etcd"})
    assert namespaces.names("tsjcheck") == []


def test_what_the_kernel_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "RULES", "table inet x { chain y { type nosuch hook input priority 0; } }")
    (problem,) = preflight.kernel_problems()
    assert "nftables lacks something" in problem
    assert namespaces.names("tsjcheck") == []
