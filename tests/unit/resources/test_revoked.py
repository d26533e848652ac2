from __future__ import annotations

import pytest

from tsujiban.resources import revoked

EVE = "spiffe://t.example/ns/a/sa/eve"
THEN = 1_769_860_800.0  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f" {EVE} ", EVE),
        ("serial:00:0A:ff", "serial:aff"),
        ("serial:" + "f" * 39, "serial:" + "f" * 39),
        ("node/n-1.x  before=2026-01-31T12:00:00Z", "node/n-1.x before=2026-01-31T12:00:00Z"),
    ],
)
def test_entries_have_one_spelling(text: str, expected: str) -> None:
    assert revoked.entry(text) == expected


@pytest.mark.parametrize("text", ["", "eve", "serial:", "serial:xy", "serial:-1", "spiffe://T/x", "serial::"])
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        revoked.entry(text)


@pytest.mark.parametrize("text", ["serial:0", "serial:8" + "0" * 39, "serial:" + "f" * 80])
def test_what_no_certificate_can_have_as_its_number(text: str) -> None:
    with pytest.raises(ValueError, match="no serial number"):
        revoked.entry(text)


@pytest.mark.parametrize("time", ["now", "2026-01-31", "2026-02-31T12:00:00Z", "2026-01-31T12:00:00+01:00"])
def test_a_node_s_time_is_one(time: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        revoked.entry(f"node/n before={time}")


@pytest.mark.parametrize("text", ["node/n", "node/-n before=2026-01-31T12:00:00Z", "node/ before=x"])
def test_a_node_without_a_time_or_a_name_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        revoked.entry(text)


def test_a_list_with_lines_that_say_nothing() -> None:
    listed = revoked.read(
        f"# ours\n{EVE} # key lost\n\nserial:0B\nnonsense # ?\nserial:b\n"
        "node/n before=2026-01-31T12:00:00Z\nnode/n before=2026-01-30T12:00:00Z\nserial:0\n"
    )
    assert (set(listed.identities), set(listed.serials), listed.nodes) == ({EVE}, {"b"}, {"n": THEN})
    assert [fault.line for fault in listed.faults] == [5, 9]
    assert revoked.told(listed.faults).startswith("line 5: 'nonsense' is neither")
    assert "and 1 more" in revoked.told(listed.faults, 1)
    assert revoked.read("# nothing\n") == revoked.Listed()


def test_a_node_is_written_with_its_time() -> None:
    assert revoked.is_node("node/n-1")
    assert not revoked.is_node("node/N")
    assert revoked.node_entry("node/n-1", THEN) == "node/n-1 before=2026-01-31T12:00:00Z"
    assert revoked.subject(revoked.node_entry("node/n-1", THEN)) == "node/n-1"
