"""Whatever bytes come, they are an object or a refusal."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.api.test_protobuf import CONFIG, body

from tsujiban.controller.api import protobuf
from tsujiban.controller.api.errors import ApiError

EXAMPLES = int(os.environ.get("TSUJIBAN_EXAMPLES", "200"))


def read(data: bytes) -> None:
    try:
        assert isinstance(protobuf.decode(data), dict)
    except ApiError as refused:
        assert refused.code == 400  # noqa: PT017 - either is right


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["ConfigMap", "Pod", "Event", "DeleteOptions"]))
def test_any_fields(data: bytes, kind: str) -> None:
    read(body("v1", kind, data))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, len(CONFIG) - 1), st.integers(0, 255))
def test_one_byte_is_another(position: int, value: int) -> None:
    read(CONFIG[:position] + bytes([value]) + CONFIG[position + 1 :])
