from __future__ import annotations

from msgspec import structs
from tests.support.manifests import judge, world

from tsujiban.policy import revocation
from tsujiban.policy.flow import Request
from tsujiban.policy.program import StringMatch
from tsujiban.resources import revoked
from tsujiban.resources.kinds.core import ConfigMap
from tsujiban.resources.kinds.meta import ObjectMeta

EVE = "spiffe://t.example/ns/a/sa/eve"


def listed(text: str) -> ConfigMap:
    return ConfigMap(
        api_version="v1",
        kind="ConfigMap",
        metadata=ObjectMeta(name=revoked.NAME, namespace=revoked.NAMESPACE),
        data={revoked.FIELD: text},
    )


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
    assert revocation.compile_revocations(listed("node/n before=2026-01-31T12:00:00Z")) is None


def test_what_a_controller_has_signed_goes_along() -> None:
    config = listed("serial:1")
    form = revocation.compile_revocations(structs.replace(config, data={**config.data, "crl": "signed"}))
    assert form is not None
    assert form.program.crl == "signed"


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
