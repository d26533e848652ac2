import pytest

from tsujiban.kernel.names import digest, name
from tsujiban.kernel.table import Table
from tsujiban.kernel.verdicts import CLEAR, LOGGED, Ending, Letter, Logging, RuleKey, Station, Verdicts
from tsujiban.policy.program import Direction


def chain_of(table: Table, statement: str) -> tuple[str, ...]:
    return table.chains[statement.split()[1]].rules


def test_a_deny_counts_logs_and_drops() -> None:
    table = Table("t")
    verdicts = Verdicts(table, Logging(group=9, rate=10, burst=20))
    statement = verdicts.goto(Letter.DENY, Direction.INGRESS, "default/p/ingress/0")
    counter = name("count", "D", "ingress", "default/p/ingress/0")
    assert statement.startswith("goto ")
    assert chain_of(table, statement) == (
        f'counter name "{counter}"',
        "limit rate over 10/second burst 20 packets jump denied-share",
        'meta mark & 0x40000000 == 0 log prefix "D|ingress|default/p/ingress/0" group 9 snaplen 128',
        "drop",
    )
    assert table.counters == {counter: "default/p/ingress/0"}
    assert verdicts.keys == {counter: RuleKey(Letter.DENY, Direction.INGRESS, "default/p/ingress/0")}


def test_each_verdict_ends_as_it_must() -> None:
    table = Table("t")
    verdicts = Verdicts(table, Logging())
    ends = {letter: chain_of(table, verdicts.goto(letter, Direction.EGRESS, "r"))[-1] for letter in Letter}
    assert ends == {
        Letter.ALLOW: "accept",
        Letter.DENY: "drop",
        Letter.NEXT: "meta mark set meta mark | 0x40000000 return",
        Letter.LOG: f"{CLEAR} return",
        Letter.STAGED_ALLOW: f"{CLEAR} return",
        Letter.STAGED_DENY: f"{CLEAR} return",
        Letter.STAGED_NEXT: f"{CLEAR} return",
        Letter.STAGED_LOG: f"{CLEAR} return",
    }


@pytest.mark.parametrize(
    ("ending", "allowed", "denied"),
    [
        (Ending.PLAIN, ["accept"], ["drop"]),
        (
            Ending.REFUSED,
            ["accept"],
            ["meta l4proto 6 reject with tcp reset", "reject with icmpx admin-prohibited"],
        ),
        (Ending.ADMITTED, ["meta mark set meta mark | 0x20000000 accept"], ["drop"]),
        (Ending.UNTRACKED, ["notrack", "meta mark set meta mark | 0x20000000 accept"], ["drop"]),
    ],
)
def test_endings_differ_and_counters_do_not(ending: Ending, allowed: list[str], denied: list[str]) -> None:
    table = Table("t")
    verdicts = Verdicts(table, Logging())
    for letter, last in ((Letter.ALLOW, allowed), (Letter.DENY, denied)):
        rules = chain_of(table, verdicts.goto(letter, Station.HOST_INGRESS, "r", ending))
        assert [*rules[3 if letter is Letter.DENY else 2 :]] == last
        verdicts.goto(letter, Station.HOST_INGRESS, "r")
    assert len(verdicts.keys) == 2


def test_one_rule_has_one_chain() -> None:
    table = Table("t")
    verdicts = Verdicts(table, Logging())
    assert verdicts.goto(Letter.DENY, Direction.EGRESS, "r") == verdicts.goto(
        Letter.DENY, Direction.EGRESS, "r"
    )
    assert verdicts.goto(Letter.DENY, Direction.INGRESS, "r") != verdicts.goto(
        Letter.DENY, Direction.EGRESS, "r"
    )


def test_senders_have_a_share_of_what_is_told_of_denials() -> None:
    """Not of what is let in, where each new connection would pay for it."""
    table = Table("t")
    verdicts = Verdicts(table, Logging())
    limits = {letter: chain_of(table, verdicts.goto(letter, Direction.EGRESS, "r"))[1] for letter in LOGGED}
    shared = {letter for letter, limit in limits.items() if limit.endswith(" jump denied-share")}
    assert shared == {Letter.DENY, Letter.STAGED_DENY}
    assert all(" log prefix " in limits[letter] for letter in LOGGED - shared)
    assert "denied-share" in table.chains


def test_long_ids_are_mapped_back() -> None:
    table = Table("t")
    verdicts = Verdicts(table, Logging())
    long = "default/" + "x" * 120
    log = chain_of(table, verdicts.goto(Letter.DENY, Direction.EGRESS, long))[2]
    stand_in = "#" + digest(long)
    assert f'"D|egress|{stand_in}"' in log
    assert verdicts.long_ids == {stand_in: long}
    longest = "x" * (127 - len("D|egress|"))
    verdicts.goto(Letter.DENY, Direction.EGRESS, longest)
    assert len(verdicts.long_ids) == 1


def test_allowed_connections_need_not_be_logged() -> None:
    table = Table("t")
    verdicts = Verdicts(table, Logging(allowed=False))
    assert len(chain_of(table, verdicts.goto(Letter.ALLOW, Direction.EGRESS, "r"))) == 2
    assert len(chain_of(table, verdicts.goto(Letter.DENY, Direction.EGRESS, "r"))) == 4
