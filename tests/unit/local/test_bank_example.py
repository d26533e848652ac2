"""The bank's manifests say what the issue asks, and carry the programs as they are."""

from __future__ import annotations

import runpy

from tsujiban.local.demo import manifests
from tsujiban.resources.load import read


def test_the_config_map_holds_the_programs_as_they_are() -> None:
    bundle = runpy.run_path(str(manifests.folder() / "bundle.py"))["bundle"]
    assert (manifests.folder() / "apps.yaml").read_text() == bundle(), "run `make example`"
    (config_map,) = manifests.objects("apps.yaml")
    for path in (manifests.folder() / "apps").iterdir():
        if path.is_file():
            assert config_map["data"][path.name] == path.read_text()


def test_every_manifest_is_valid() -> None:
    paths = sorted(p for p in manifests.folder().rglob("*.yaml") if not p.stem.endswith("_test"))
    loaded = read((path.name, path.read_bytes()) for path in paths)
    assert loaded.findings == []
    assert len(loaded.objects) == 21


def test_each_service_has_an_account_of_its_own() -> None:
    deployments = [obj for obj in manifests.objects("bank.yaml") if obj["kind"] == "Deployment"]
    accounts = {
        obj["metadata"]["name"]: obj["spec"]["template"]["spec"]["serviceAccountName"] for obj in deployments
    }
    assert accounts == {name: name for name in ("customer", "summary", "database", "visitor")}
