from __future__ import annotations

from tsujiban.resources import versions

CORE = {"apiVersion": "v1", "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2, "reason": "r"}
OTHER = {
    "apiVersion": "events.k8s.io/v1",
    "regarding": {"kind": "Pod"},
    "note": "m",
    "deprecatedCount": 2,
    "reason": "r",
}


def test_an_event_has_other_words_in_its_other_version() -> None:
    assert versions.shown(CORE, "events.k8s.io/v1") == OTHER
    assert versions.stored(OTHER, "events.k8s.io/v1") == {**CORE, "apiVersion": "events.k8s.io/v1"}


def test_other_kinds_are_alike_in_all_versions() -> None:
    tier = {"apiVersion": "projectcalico.org/v3", "message": "m"}
    assert versions.shown(tier, "crd.projectcalico.org/v1") == {
        **tier,
        "apiVersion": "crd.projectcalico.org/v1",
    }
    assert versions.stored(tier, "projectcalico.org/v3") == tier


def test_no_two_fields_get_one_name() -> None:
    for names in versions.RENAMED.values():
        assert len(set(names.values())) == len(names)
        assert not set(names) & set(names.values())
