from __future__ import annotations

from tsujiban.policy.claims import Claims
from tsujiban.policy.program import EndpointProgram, Mesh, Peer


def endpoint(name: str, *addresses: str) -> EndpointProgram:
    return EndpointProgram(
        id=name, node="n1", addresses=addresses, identity=f"spiffe://t/{name}", mesh=Mesh.SIDECAR
    )


def peer(address: str, name: str) -> Peer:
    return Peer(address=address, endpoint=name, identity=f"spiffe://t/{name}", mesh=Mesh.SIDECAR, node="n1")


def test_an_address_has_the_owner_that_holds_it() -> None:
    one = endpoint("x/a", "10.0.0.1", "fd00::1")
    claims = Claims({"x/a": one})
    assert dict(claims.change("x/a", None, one)) == {
        "10.0.0.1": peer("10.0.0.1", "x/a"),
        "fd00::1": peer("fd00::1", "x/a"),
    }


def test_of_several_owners_it_is_always_the_same_one() -> None:
    for order in (("x/a", "x/b"), ("x/b", "x/a")):
        endpoints: dict[str, EndpointProgram] = {}
        claims = Claims(endpoints)
        told: dict[str, Peer | None] = {}
        for name in order:
            endpoints[name] = endpoint(name, "10.0.0.1")
            told |= dict(claims.change(name, None, endpoints[name]))
        assert told == {"10.0.0.1": peer("10.0.0.1", "x/a")}
        old = endpoints.pop("x/a")
        assert dict(claims.change("x/a", old, None)) == {"10.0.0.1": peer("10.0.0.1", "x/b")}


def test_an_address_that_is_let_go_is_nobodys() -> None:
    one, other = endpoint("x/a", "10.0.0.1"), endpoint("x/a", "10.0.0.2")
    endpoints = {"x/a": one}
    claims = Claims(endpoints)
    assert list(claims.change("x/a", None, one))
    endpoints["x/a"] = other
    assert dict(claims.change("x/a", one, other)) == {"10.0.0.1": None, "10.0.0.2": peer("10.0.0.2", "x/a")}
