from __future__ import annotations

from tests.support.manifests import host, host_pod, objects

from tsujiban.policy.diff import compare


def pairs(old: str, new: str) -> dict[tuple[tuple[str, ...], tuple[str, ...]], str]:
    """What changed, in words; every change must have a rule behind it."""
    told = compare(objects(old), objects(new)).changes
    assert all(change.old_rules or change.new_rules for change in told)
    return {(change.sources, change.destinations): change.gained for change in told}


TWO = host("one", 1, "a", "b") + "---" + host("two", 2)


def test_a_new_host_endpoint_says_nothing_of_what_stays_on_its_host() -> None:
    outside = ("0.0.0.0/0",)
    assert pairs(host_pod("a", 1), host("one", 1, "a")) == {
        (outside, ("host/one",)): "all",
        (("host/one",), outside): "all",
        (outside, ("app/a",)): "all",
        (("app/a",), outside): "all",
    }


def test_hosts_that_no_policy_tells_apart_still_reach_each_other() -> None:
    everybody = ("app/a", "app/b", "host/one", "host/two")
    closed = TWO.replace("profiles: [projectcalico-default-allow]", "profiles: []")
    assert pairs(closed, TWO)[everybody, everybody] == "all"
