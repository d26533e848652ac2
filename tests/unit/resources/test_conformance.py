"""Cases that other projects wrote, for selectors, units and validation.

They live beside the repository; a clone without them has nothing to run. Cases where a promise of
DESIGN.md is stricter, or that cannot be told apart, are named with the reason in
docs/conformance-exceptions.json, and must go on disagreeing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tsujiban.resources import httppath, load, nets, protocols, selectors, spiffe
from tsujiban.resources.crosscheck import crosscheck
from tsujiban.resources.findings import errors

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT.parent / "shared" / "conformance"
EXCEPTIONS: dict[str, str] = json.loads((ROOT / "docs" / "conformance-exceptions.json").read_text())

V3 = "projectcalico.org/v3"


def _cases(name: str) -> list[Any]:
    path = CASES / name
    if not path.exists():
        return []
    params = []
    for case in map(json.loads, path.read_text().splitlines()):
        reason = EXCEPTIONS.get(case["id"])
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        params.append(pytest.param(case, id=case["id"], marks=marks))
    return params


@pytest.mark.parametrize("case", _cases("calico-selectors.jsonl"))
def test_selector(case: dict[str, Any]) -> None:
    try:
        selector = selectors.parse(case["selector"])
    except selectors.SelectorError:
        assert case["expected"] == "invalid"
        return
    match case["kind"]:
        case "match":
            assert selector.matches(case["labels"]) is case["expected"]
        case "canonical":
            assert selector.canonical == case["expected"]
        case _:
            assert case["expected"] == "valid"


def _unit(case: dict[str, Any]) -> Any:
    match case["kind"]:
        case "http-path-match":
            path = httppath.normalize(case["path"])
            return not case["paths"] or any(httppath.matches(path, **clause) for clause in case["paths"])
        case "http-path-normalize":
            return httppath.normalize(case["path"])
        case "http-method-match":
            return httppath.matches_method(case["method"], case["methods"])
        case "service-account-name-match":
            return not case["names"] or case["name"] in case["names"]
        case "net-match":
            address = nets.address(case["ip"])
            return not case["nets"] or any(address in nets.network(net) for net in case["nets"])
        case "protocol-match" if "protocol" in case:
            return protocols.matches(case["protocol"], case["number"])
        case "protocol-match":
            return protocols.matches_not(case["notProtocol"], case["number"])
        case "spiffe-parse":
            found = spiffe.workload(case["spiffe"])
            return found and {"namespace": found.namespace, "serviceAccount": found.service_account}
    raise AssertionError(f"a kind of case that is not known: {case['kind']}")


@pytest.mark.parametrize("case", _cases("calico-units.jsonl"))
def test_unit(case: dict[str, Any]) -> None:
    assert _unit(case) == case["expected"]


def _policy(**spec: Any) -> dict[str, Any]:
    meta = {"name": "test", "namespace": "default"}
    return {"apiVersion": V3, "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def _of_spec(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": V3, "kind": kind, "metadata": {"name": "test"}, "spec": spec}


def _whole(case: dict[str, Any]) -> dict[str, Any]:
    """The case's object; a part of one in the smallest object around it."""
    part = case["object"]
    match case["type"]:
        case "Rule":
            return _policy(ingress=[part])
        case "EntityRule":
            return _policy(ingress=[{"action": "Allow", "source": part}])
        case "HTTPMatch":
            return _policy(ingress=[{"action": "Allow", "http": part}])
        case "ICMPFields":
            return _policy(ingress=[{"action": "Allow", "protocol": "ICMP", "icmp": part}])
        case str(name) if name.endswith("Spec"):
            return _of_spec(name.removesuffix("Spec"), part)
        case _:
            return part  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", _cases("validation.jsonl"))
def test_validation(case: dict[str, Any]) -> None:
    if "manifests" in case:
        sources = [(name, (CASES / name).read_bytes()) for name in case["manifests"]]
    else:
        sources = [("case.json", json.dumps(_whole(case)).encode())]
    loaded = load.read(sources)
    found = errors(loaded.findings)
    if case["scope"] == "set":
        assert not found, "each object alone is right"
        found = errors(crosscheck(loaded.objects))
    assert ("invalid" if found else "valid") == case["expected"], [
        str(finding) for finding in loaded.findings
    ]


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not beside this clone")
def test_every_exception_is_a_case() -> None:
    known = {
        json.loads(line)["id"] for path in CASES.glob("*.jsonl") for line in path.read_text().splitlines()
    }
    assert set(EXCEPTIONS) <= known
