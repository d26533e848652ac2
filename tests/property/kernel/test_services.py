"""The table of service addresses after any sequence of changes is the one rendered from nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.kernel.services import ServiceTable
from tsujiban.policy.program import Backend, EndpointProgram, NodeState, ServicePort, ServiceProgram

ADDRESSES = st.sampled_from(["10.96.0.1", "10.96.0.2", "10.96.0.10", "fd96::1"])  # few, so that they meet
BACKENDS = st.builds(
    Backend,
    address=st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]),
    port=st.integers(80, 82),
)
PORTS = st.builds(
    ServicePort,
    protocol=st.sampled_from([6, 17]),
    port=st.integers(80, 82),
    backends=st.lists(BACKENDS, max_size=3).map(tuple),
)
NAMES = st.sampled_from(["x/a", "x/b", "x/c"])


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, ServiceProgram | None]]:
    found: list[tuple[str, ServiceProgram | None]] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=8)):
        addresses = tuple(draw(st.lists(ADDRESSES, max_size=2, unique=True)))
        ports = tuple(draw(st.lists(PORTS, max_size=2)))
        there = draw(st.booleans())
        found.append((name, ServiceProgram(id=name, addresses=addresses, ports=ports) if there else None))
    return found


@given(steps(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_incremental_is_from_scratch(
    changes: list[tuple[str, ServiceProgram | None]], own: list[bool]
) -> None:
    state, table = NodeState(), ServiceTable()
    state.endpoints["x/here"] = EndpointProgram(id="x/here", node="n", addresses=("10.0.0.1", "fd00::1"))
    for (name, service), local in zip(changes, own, strict=False):
        if service is None:
            state.services.pop(name, None)
        else:
            state.services[name] = service
        given = ((("10.96.0.10",) if local else ()), (("192.0.2.1", 6443),))
        assert table.render(state, *given) == ServiceTable().render(state, *given)
