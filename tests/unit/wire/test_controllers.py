"""What nodes are told of controllers is addresses, bounded, and nothing else."""

from __future__ import annotations

import pytest

from tsujiban.wire.controllers import MAX_KNOWN, identity_among, name_of, problem, usable
from tsujiban.wire.messages import CONTROLLER_NAME, ControllerAddress

ONE, TWO = "0123456789abcdef" * 2, "f" * 32


def at(address: str, port: int = 7443, controller: str = ONE) -> ControllerAddress:
    return ControllerAddress(controller, address, port)


@pytest.mark.parametrize("address", ["192.0.2.1", "172.31.255.1", "2001:db8::1", "fd00::1"])
def test_an_address_of_a_machine_is_one(address: str) -> None:
    assert problem(at(address)) == ""


@pytest.mark.parametrize(
    "address",
    [
        "", "0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.1", "ff02::1",  # noqa: S104  # nobody binds it
        "169.254.1.1", "fe80::1", "fe80::1%eth0",
        "010.0.0.1", "10.1", "2001:DB8::1", "::ffff:10.0.0.1", "controller.example", "192.0.2.1\n",
        "192.0.2.0/24", "1" * 100_000,
    ],
)  # fmt: skip
def test_what_is_none_is_refused(address: str) -> None:
    assert problem(at(address))
    assert len(problem(at(address))) < 200


def test_ports_and_identities_are_looked_at_too() -> None:
    assert all(problem(at("192.0.2.1", port)) for port in (0, -1, 65536))
    wrong = ("", "x" * 32, ONE.upper(), ONE + "0", ONE[1:], f"{ONE}.", f"{ONE}\n")
    assert all(problem(at("192.0.2.1", controller=identity)) for identity in wrong)


def test_the_good_ones_are_taken_once_and_not_without_bound() -> None:
    many = [at("192.0.2.1", port) for port in range(1, 100)]
    assert usable([at("127.0.0.1"), *many, *many]) == tuple(many[:MAX_KNOWN])
    assert usable([many[0], many[0], at("192.0.2.1", 1, TWO)]) == (many[0], at("192.0.2.1", 1, TWO))


def test_a_name_proves_the_identity_that_it_was_made_of() -> None:
    assert identity_among(["localhost", CONTROLLER_NAME, name_of(ONE)]) == ONE
    others = ["localhost", CONTROLLER_NAME, f"x.{CONTROLLER_NAME}", f"{ONE}.example", f"a.{name_of(ONE)}"]
    assert identity_among(others) == ""
