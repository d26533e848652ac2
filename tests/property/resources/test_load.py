"""Whatever the input, reading it ends with findings or objects: no traceback, and no more work than
its size asks for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.resources import load, positions
from tsujiban.resources.findings import Severity

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
WORDS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "spec",
        "selector",
        "ingress",
        "egress",
        "from",
        "to",
        "ports",
        "source",
        "destination",
        "nets",
        "action",
        "protocol",
        "podSelector",
        "matchLabels",
        "ipBlock",
        "cidr",
        "rules",
        "when",
        "items",
    ]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
KINDS = st.sampled_from(
    [
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "List"),
        ("apps/v1", "Deployment"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
        ("projectcalico.org/v3", "GlobalNetworkPolicy"),
        ("projectcalico.org/v3", "StagedKubernetesNetworkPolicy"),
        ("projectcalico.org/v3", "HostEndpoint"),
        ("projectcalico.org/v3", "IPPool"),
        ("security.istio.io/v1", "AuthorizationPolicy"),
        ("security.istio.io/v1", "RequestAuthentication"),
    ]
)


def judged(data: bytes) -> load.Loaded:
    loaded = load.read([("input", data)])
    assert loaded.ok is all(found.severity is Severity.WARNING for found in loaded.findings)
    for found in loaded.findings:
        assert found.code
        assert found.message
        assert str(found).startswith("input")
    return loaded


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    judged(data)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("{}[]:,-?&*!|>'\"%@`#ab1. \t\n~<")), max_size=120))
def test_random_marks(text: str) -> None:
    judged(text.encode())


@settings(max_examples=300, deadline=None)
@given(KINDS, JSON)
def test_random_spec(kind: tuple[str, str], spec: Any) -> None:
    whole = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "x"}, "spec": spec}
    judged(json.dumps(whole).encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_random_document(document: Any) -> None:
    judged(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=8) | st.integers(0, 99), max_size=6))
def test_a_path_is_read_as_it_is_written(path: list[str | int]) -> None:
    steps = tuple(path)
    assert positions.parse(positions.render(steps)) == steps


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("k"))
)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[" * 10_000_000, "too-deep"),
        (b"- " * 5_000_000, "too-deep"),
        (b'{"a":' + b"[" * 10_000_000, "too-deep"),
        (b"{" * 500, "yaml-key"),
        (b'{"a": ' * 500 + b"1" + b"}" * 500, "too-deep"),
        (b"a" * 10_000_000, "not-an-object"),
        (b'"' + b"a" * 10_000_000, "yaml-syntax"),
        (b"\xff" * 1000, "not-utf8"),
        (b"a: b\n\0", "yaml-characters"),
        (b"\tkind: Pod\n", "yaml-syntax"),
        (b"kind: Pod\nkind: Pod\n", "duplicate-key"),
        (b'{"kind": "Pod", "kind": "Pod"}', "duplicate-key"),
        (b'{"kind": NaN}', "json-number"),
        (b'{"kind": 1e999}', "json-number"),
        (b"kind: .nan\n", "yaml-number"),
        (b"kind: -.inf\n", "yaml-number"),
        (b'{"kind": "\\ud800"}', "json-surrogate"),
        (b'kind: "\\ud800"', "yaml-syntax"),
        (b"a: &a [*a]\n", "yaml-alias"),
        (BOMB, "yaml-alias"),
        (b"a: !!python/object:os.system x\n", "yaml-tag"),
        (b"on: x\n", "yaml-boolean-key"),
        ("kind: Pod".encode("utf-16"), "not-utf8"),
    ],
)
def test_hostile_input(data: bytes, code: str) -> None:
    loaded = judged(data)
    assert code in {found.code for found in loaded.findings}
    assert loaded.objects == []


@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        (b"", b"["),
        (b"", b"- "),
        (b"", b"{"),
        (b"", b"a"),
        (b'"', b"a"),
        (b'{"a":', b"["),
        (b"a: &a [x]\nb:\n", b"- *a\n"),
        (b"", b"? "),
        (b"a: |\n", b" \n"),
    ],
)
def test_eight_times_the_input_is_about_eight_times_the_work(before: bytes, repeated: bytes) -> None:
    """What grows with the square takes 64 times as long. The processor's time, the least of three."""

    def work(size: int) -> float:
        data = before + repeated * (size // len(repeated))
        spent = []
        for _ in range(3):
            start = time.process_time()
            judged(data)
            spent.append(time.process_time() - start)
        return min(spent)

    small = work(100_000)
    assert work(800_000) < 24 * max(small, 0.001)
