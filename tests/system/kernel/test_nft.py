"""libnftables in a namespace of its own."""

from __future__ import annotations

import pytest
from tests.support.kernelbed import Bed

from tsujiban.kernel.nft import Nft, TransactionError

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("transaction", "line", "text"),
    [
        ("add table inet x\nadd rule inet x y frobnicate accept\n", 2, "add rule inet x y frobnicate accept"),
        ("add table inet x\n\nadd rule inet x absent accept\n", 3, "add rule inet x absent accept"),
    ],
)
def test_a_refusal_says_where_and_changes_nothing(bed: Bed, transaction: str, line: int, text: str) -> None:
    with bed.inside("outside", Nft) as nft:
        for attempt in (nft.run, nft.check):
            with pytest.raises(TransactionError) as caught:
                attempt(transaction)
            assert (caught.value.problems[0].line, caught.value.problems[0].text) == (line, text)
        assert nft.run("list tables") == ""


def test_checking_commits_nothing(bed: Bed) -> None:
    with bed.inside("outside", Nft) as nft:
        nft.check("add table inet x\n")
        assert nft.run("list tables") == ""
        nft.run("add table inet x\n")
        assert nft.run("list tables") == "table inet x\n"
        nft.run("delete table inet x\n")


def test_a_context_stays_in_its_namespace(bed: Bed) -> None:
    with bed.inside("outside", Nft) as outside, bed.in_node(Nft) as node:
        outside.run("add table inet x\n")
        assert node.run("list tables") == ""
        outside.run("delete table inet x\n")
