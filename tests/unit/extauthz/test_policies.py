from __future__ import annotations

from tests.support.authzworld import WEB, identity, loaded, manifests, policies

from tsujiban.extauthz.policies import keyed
from tsujiban.policy.program import Mesh


def test_every_workload_is_judged_as_one_with_a_proxy() -> None:
    web = policies().world().endpoint(WEB)
    assert web is not None
    assert web.mesh is Mesh.SIDECAR
    assert web.identity == identity("web")
    assert web.authorization


def test_what_has_gone_or_has_ended_is_nobody() -> None:
    made = policies()
    before = made.world()
    ended = loaded(manifests().replace("phase: Running", "phase: Succeeded"))
    made.change(keyed(ended))
    assert made.world() is not before
    assert made.world().endpoint(WEB) is None
