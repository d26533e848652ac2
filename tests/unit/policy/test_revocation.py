from __future__ import annotations

import pytest
from tests.support.manifests import judge, world

from tsujiban.policy import revocation
from tsujiban.policy.flow import Request
from tsujiban.policy.program import StringMatch
from tsujiban.resources.kinds.core import ConfigMap
from tsujiban.resources.kinds.meta import ObjectMeta

EVE = "spiffe://t.example/ns/a/sa/eve"


def listed(text: str) -> ConfigMap:
    return ConfigMap(
        api_version="v1",
        kind="ConfigMap",
        metadata=ObjectMeta(name=revocation.NAME, namespace=revocation.NAMESPACE),
        data={revocation.FIELD: text},
    )


@pytest.mark.parametrize(
    ("text", "expected"), [(f" {EVE} ", EVE), ("serial:00:0A:ff", "serial:aff"), ("serial:0", "serial:0")]
)
def test_entries_have_one_spelling(text: str, expected: str) -> None:
    assert revocation.entry(text) == expected


@pytest.mark.parametrize("text", ["", "eve", "serial:", "serial:xy", "serial:-1", "spiffe://T/x", "serial::"])
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        revocation.entry(text)


def test_the_list_is_a_denial_for_everybody() -> None:
    form = revocation.compile_revocations(listed(f"# a\n{EVE} # key lost\nserial:0B\nnonsense\n"))
    assert form is not None
    (rule,) = form.program.rules
    assert rule.sources[0].principals == (StringMatch(exact="t.example/ns/a/sa/eve"),)
    assert (form.program.id, form.program.revokes) == ("_mesh/revoked", ("b",))
    assert revocation.compile_revocations(listed("# nothing\n")) is None
    only = revocation.compile_revocations(listed("serial:1"))
    assert only is not None
    assert only.program.rules == ()


LIST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tsujiban-revoked, namespace: kube-system}
data: {revoked: "spiffe://cluster.local/ns/x/sa/sb"}
"""


def test_a_revoked_identity_is_denied_and_nothing_else_changes() -> None:
    where = world(LIST)
    assert judge(where, "x/b", "x/a", port=80) == (False, ("_mesh/revoked",))
    odd = Request(path="/%2f")
    assert judge(where, "y/c", "x/a", port=80, http=odd)[0]
