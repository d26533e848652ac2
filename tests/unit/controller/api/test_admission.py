from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tsujiban.controller import bootstrap
from tsujiban.controller.api import admission
from tsujiban.controller.api.errors import ApiError
from tsujiban.resources.registry import resolve
from tsujiban.store import metadata
from tsujiban.store.protocol import Check, Key, NotFound
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

TIER = Key("projectcalico.org", "tiers", "", "security")
NAMESPACE = Key("", "namespaces", "", "default")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    engine = await SqliteStore.open(tmp_path / "state" / "store.db")
    await bootstrap.ensure(engine, bootstrap.initial_objects("10.244.0.0/16", 26))
    yield engine
    await engine.close()


def policy(name: str, tier: str | None) -> dict[str, Any]:
    spec = {} if tier is None else {"tier": tier}
    head = {"name": name, "namespace": "default"}
    return {"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy", "metadata": head, "spec": spec}


def admin_policy(name: str, priority: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"priority": priority, "subject": {"namespaces": {}}},
    }


CALICO = resolve("networkpolicy.projectcalico.org")


async def test_what_an_object_leans_on_is_checked_in_its_transaction(store: SqliteStore) -> None:
    assert await admission.admit(store, CALICO, policy("p", None)) == [Check(NAMESPACE)]
    tier = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "metadata": {"name": "security"},
        "spec": {"order": 1},
    }
    await store.create(TIER, metadata.encode(tier))
    checks = await admission.admit(store, CALICO, policy("security.p", "security"))
    assert checks == [Check(NAMESPACE), Check(TIER)]


async def test_a_dry_run_demands_what_a_write_would(store: SqliteStore) -> None:
    await admission.demand(store, [Check(NAMESPACE)])
    with pytest.raises(NotFound):
        await admission.demand(store, [Check(NAMESPACE), Check(TIER)])


async def test_a_pod_needs_its_service_account(store: SqliteStore) -> None:
    kind = resolve("pod")

    def pod(account: str) -> dict[str, Any]:
        return {"metadata": {"name": "p", "namespace": "default"}, "spec": {"serviceAccountName": account}}

    for made_anyway in ("", "default"):
        await admission.admit_account(store, kind, pod(made_anyway))
    with pytest.raises(ApiError) as refused:
        await admission.admit_account(store, kind, pod("web"))
    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")
    assert refused.value.message == (
        'pods "p" is forbidden: error looking up service account default/web: serviceaccount "web" not found'
    )
    await store.create(Key("", "serviceaccounts", "default", "web"), b'{"metadata": {"name": "web"}}')
    await admission.admit_account(store, kind, pod("web"))
    await admission.admit_account(store, resolve("deployment"), {"metadata": {}})


async def test_a_tier_that_does_not_exist(store: SqliteStore) -> None:
    with pytest.raises(ApiError) as refused:
        await admission.admit(store, CALICO, policy("security.p", "security"))
    assert refused.value.details["causes"][0]["field"] == "spec.tier"


@pytest.mark.parametrize("tier", ["default", "kube-admin", "kube-baseline", None])
def test_built_in_tiers_need_no_object(tier: str | None) -> None:
    assert admission.leans_on(CALICO, policy("p", tier)) == [NAMESPACE]


async def test_two_admin_policies_of_one_priority(store: SqliteStore) -> None:
    kind = resolve("anp")
    assert await admission.admit(store, kind, admin_policy("a", 5)) == []
    await store.create(Key(kind.group, kind.plural, "", "a"), metadata.encode(admin_policy("a", 5)))
    assert await admission.admit(store, kind, admin_policy("a", 5)) == []  # itself, again
    with pytest.raises(ApiError) as refused:
        await admission.admit(store, kind, admin_policy("b", 5))
    assert refused.value.code == 422


async def test_deletions(store: SqliteStore) -> None:
    with pytest.raises(ApiError) as refused:
        await admission.admit_deletion(store, resolve("ns"), "default")
    assert refused.value.code == 403
    await admission.admit_deletion(store, resolve("ns"), "other")
    key = Key("projectcalico.org", "networkpolicies", "default", "security.p")
    await store.create(key, metadata.encode(policy("security.p", "security")))
    with pytest.raises(ApiError) as refused:
        await admission.admit_deletion(store, resolve("tier"), "security")
    assert "security.p" in refused.value.message
    await admission.admit_deletion(store, resolve("tier"), "other")
