from __future__ import annotations

from tsujiban.policy.journal import Journal, Table


def test_a_reader_gets_what_came_after_its_position_in_order() -> None:
    journal = Journal()
    journal.append((Table.SETS, "a"))
    position = journal.position
    journal.append((Table.PEERS, "b"))
    journal.append((Table.SETS, "a"))
    assert list(journal.since(position) or ()) == [(Table.PEERS, "b"), (Table.SETS, "a")]
    assert list(journal.since(0) or ()) == [(Table.SETS, "a"), (Table.PEERS, "b"), (Table.SETS, "a")]


def test_at_the_end_there_is_nothing_but_not_too_late() -> None:
    journal = Journal()
    journal.append((Table.SETS, "a"))
    entries = journal.since(journal.position)
    assert entries is not None
    assert list(entries) == []


def test_a_trim_forgets_the_older_half_and_says_so() -> None:
    journal = Journal(limit=4)
    for number in range(5):
        journal.append((Table.SETS, str(number)))
    journal.trim()
    assert journal.position == 5  # positions only grow
    assert journal.since(2) is None
    assert [name for _, name in journal.since(3) or ()] == ["3", "4"]


def test_a_journal_within_its_limit_forgets_nothing() -> None:
    journal = Journal(limit=4)
    for number in range(4):
        journal.append((Table.SETS, str(number)))
    journal.trim()
    assert len(list(journal.since(0) or ())) == 4
