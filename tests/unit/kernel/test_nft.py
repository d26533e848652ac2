import pytest

from tsujiban.kernel.nft import Nft, NftError, Problem, TransactionError, problems_of

_OUTPUT = """\
<cmdline>:2:12-16: Error: syntax error, unexpected comma
add rule x y ,
           ^^^^^
<cmdline>:9:1-3: Error: Could not process rule: No such file or directory
"""


def test_positions_are_read_with_the_line_they_are_about() -> None:
    found = problems_of(_OUTPUT, "add table x\nadd rule x y ,\n")
    assert found == (
        Problem(2, 12, 16, "syntax error, unexpected comma", "add rule x y ,"),
        Problem(9, 1, 3, "Could not process rule: No such file or directory", ""),
    )
    assert str(found[0]) == "line 2, columns 12-16: syntax error, unexpected comma: add rule x y ,"


def test_errors_say_what_is_known() -> None:
    assert str(TransactionError((), "netlink: broken\n")) == "netlink: broken"
    assert str(TransactionError((), "")) == "refused without a reason"


def test_a_missing_library_names_the_remedy() -> None:
    with pytest.raises(NftError, match="apt install nftables"):
        Nft(library="libdoes-not-exist.so.1")


def test_a_closed_context_refuses() -> None:
    nft = Nft()
    nft.close()
    nft.close()
    with pytest.raises(NftError, match="closed"):
        nft.run("list tables")
