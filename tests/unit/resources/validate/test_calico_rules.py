"""Rules of Calico policies: what the conformance cases leave out."""

from __future__ import annotations

from typing import Any

import pytest

V3 = "projectcalico.org/v3"


@pytest.mark.parametrize(
    ("rule", "field", "code"),
    [
        ({"notICMP": {"type": 8}}, ".notICMP", "conflict"),
        ({"protocol": "tcp"}, ".protocol", "bad-value"),
        ({"protocol": 256}, ".protocol", "bad-value"),
        ({"notProtocol": "ICMPv6", "ipVersion": 4}, ".notProtocol", "conflict"),
        ({"protocol": "TCP", "source": {"ports": ["a b"]}}, ".source.ports[0]", "bad-port"),
        ({"source": {"nets": ["10.0.0.0/8", "::/1"]}}, ".source.nets[1]", "mixed-versions"),
        ({"source": {"nets": ["x"]}}, ".source.nets[0]", "bad-cidr"),
        ({"source": {"serviceAccounts": {"names": ["A"]}}}, ".source.serviceAccounts.names[0]", "bad-name"),
        (
            {"source": {"serviceAccounts": {"selector": "a"}}},
            ".source.serviceAccounts.selector",
            "bad-selector",
        ),
        ({"source": {"notSelector": "!global()"}}, ".source.notSelector", "bad-selector"),
        ({"source": {"services": {"name": ""}}}, ".source.services.name", "missing-field"),
        ({"source": {"services": {"name": "A"}}}, ".source.services.name", "bad-name"),
        ({"http": {"methods": ["G T"]}}, ".http.methods[0]", "bad-value"),
        ({"http": {"paths": [{"prefix": "/%2525"}]}}, ".http.paths[0].prefix", "bad-path"),
        ({"http": {"paths": [{"exact": "a"}]}}, ".http.paths[0].exact", "bad-path"),
        ({"action": "Log", "http": {"methods": ["GET"]}}, ".http", "http-not-in-allow"),
    ],
)
def test_rule(judge: Any, rule: dict[str, Any], field: str, code: str) -> None:
    spec = {"ingress": [{"action": "Allow", **rule}]}
    assert judge(V3, "NetworkPolicy", spec=spec) == {(f"spec.ingress[0]{field}", code)}


def test_a_selector_error_names_the_place_in_the_selector(judge: Any) -> None:
    from tsujiban.resources import load

    raw = {
        "apiVersion": V3,
        "kind": "NetworkPolicy",
        "metadata": {"name": "x"},
        "spec": {"selector": "a == b"},
    }
    (finding,) = load.check(raw).findings
    assert finding.message == "expected a string in quotes, at character 6"
