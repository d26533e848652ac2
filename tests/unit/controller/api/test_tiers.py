"""A tier is judged before the next one, so not everybody writes into it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

pytestmark = pytest.mark.anyio

V3 = "/apis/projectcalico.org/v3"
POLICIES = f"{V3}/namespaces/default/networkpolicies"
MERGE = {"content-type": "application/merge-patch+json"}


def policy(name: str, tier: str) -> dict[str, Any]:
    spec = {"tier": tier, "order": 0, "selector": "all()", "ingress": [{"action": "Allow"}]}
    head = {"name": name, "namespace": "default"}
    return {"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy", "metadata": head, "spec": spec}


@pytest.fixture
async def tier(admin: httpx.AsyncClient) -> None:
    made = await admin.post(f"{V3}/tiers", json={"metadata": {"name": "security"}, "spec": {"order": 10}})
    assert made.status_code == 201, made.text
    made = await admin.post(POLICIES, json=policy("security.guard", "security"))
    assert made.status_code == 201, made.text


@pytest.mark.usefixtures("tier")
async def test_who_has_a_namespace_has_no_tier_before_it(bed: ApiBed) -> None:
    """One Allow of order 0, and what the administrators' tier denies further down came in."""
    await bed.grant("eve", role="admin", namespace="default")
    async with bed.client(bed.user("eve", "staff")) as eve:
        for answer in (
            await eve.post(POLICIES, json=policy("security.mine", "security")),
            await eve.post(POLICIES, json=policy("security.mine", "security"), params={"dryRun": "All"}),
            await eve.patch(f"{POLICIES}/security.guard", json={"spec": {"order": 9}}, headers=MERGE),
            await eve.delete(f"{POLICIES}/security.guard"),
            await eve.delete(POLICIES),
            await eve.post("/tsujiban/v1/apply", json={"objects": [policy("security.mine", "security")]}),
            await eve.patch(
                f"{POLICIES}/security.mine?fieldManager=eve",
                json=policy("security.mine", "security"),
                headers={"content-type": "application/apply-patch+yaml"},
            ),
        ):
            assert answer.status_code == 403, answer.text
            assert 'in tier "security"' in answer.json()["message"]
        assert (await eve.post(POLICIES, json=policy("mine", "default"))).status_code == 201


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("name", ["security.*", "security.guard"])
async def test_a_tier_is_given_whole_or_by_the_policy(bed: ApiBed, name: str) -> None:
    group = ["projectcalico.org"]
    tiers = {"apiGroups": group, "resources": ["tiers"], "verbs": ["get"], "resourceNames": ["security"]}
    inside = {
        "apiGroups": group,
        "resources": ["tier.networkpolicies"],
        "verbs": ["*"],
        "resourceNames": [name],
    }
    await bed.grant("ann", role="edit", namespace="default")
    await bed.grant("ann", inside, namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        change = {"spec": {"order": 5}}
        without = await ann.patch(f"{POLICIES}/security.guard", json=change, headers=MERGE)
        assert (without.status_code, "cannot get tier" in without.json()["message"]) == (403, True)
        await bed.grant("ann", tiers)
        done = await ann.patch(f"{POLICIES}/security.guard", json=change, headers=MERGE)
        assert done.status_code == 200, done.text
        other = await ann.post(POLICIES, json=policy("security.mine", "security"))
        assert other.status_code == (201 if name.endswith("*") else 403)


@pytest.mark.usefixtures("tier")
async def test_who_administers_the_network_has_all_tiers(bed: ApiBed) -> None:
    await bed.grant("net", role="tsujiban:network-admin")
    async with bed.client(bed.user("net", "staff")) as net:
        assert (await net.post(POLICIES, json=policy("security.mine", "security"))).status_code == 201
