from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import HTTPConnection

from tsujiban.controller.api import users
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.scope import PEER_CERTIFICATE
from tsujiban.controller.api.users import Authenticator, NotAuthenticated, TokenRefused, User
from tsujiban.controller.revocations import KEY, Revocations
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.keys import create_csr, create_spiffe_csr, new_key
from tsujiban.identity.verify import Subject, subject_of_der

pytestmark = pytest.mark.anyio

DOMAIN = "cluster.local"


def connection(chain_pem: str = "", authorization: str = "") -> HTTPConnection:
    scope: dict[str, Any] = {"type": "http", "headers": [(b"authorization", authorization.encode())]}
    if chain_pem:
        der = x509.load_pem_x509_certificate(chain_pem.encode()).public_bytes(Encoding.DER)
        scope["extensions"] = {PEER_CERTIFICATE: {"der": der}}
    return HTTPConnection(scope)


@pytest.fixture
def ca(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "ca", DOMAIN)


async def review(token: str) -> User | None:
    return User("robot", ("g",)) if token == "good" else None  # noqa: S105


async def refused(authenticator: Authenticator, found: HTTPConnection) -> str:
    with pytest.raises(ApiError) as error:
        await authenticator.user(found)
    assert error.value.code == 401
    return error.value.message


async def test_users_have_name_and_groups(ca: CertificateAuthority) -> None:
    chain = ca.sign_admin(create_csr(new_key(), []), "ann", ("a", "b"))
    user = await Authenticator(DOMAIN).user(connection(chain))
    assert user == User("ann", ("a", "b", "system:authenticated"))
    assert user.node == ""


async def test_a_certificate_is_read_once(ca: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counted(der: bytes) -> Subject:
        read.append(der)
        return subject_of_der(der)

    monkeypatch.setattr(users, "subject_of_der", counted)
    chains = [ca.sign_admin(create_csr(new_key(), []), name, ("g",)) for name in ("ann", "bob")]
    authenticator = Authenticator(DOMAIN)
    found = [(await authenticator.user(connection(chain))).name for chain in (*chains, *chains)]
    assert found == ["ann", "bob", "ann", "bob"]
    assert len(read) == 2


async def test_nodes_are_known_by_their_identity(ca: CertificateAuthority) -> None:
    chain = ca.sign_node(create_spiffe_csr(new_key(), f"spiffe://{DOMAIN}/node/n1"), "n1")
    user = await Authenticator(DOMAIN).user(connection(chain))
    assert (user.name, user.groups, user.node) == (
        "system:node:n1",
        ("system:nodes", "system:authenticated"),
        "n1",
    )
    await refused(Authenticator("other.domain"), connection(chain))


async def test_no_user_certificate_can_claim_to_be_a_node(ca: CertificateAuthority) -> None:
    chain = ca.sign_admin(create_csr(new_key(), []), "system:node:n1", ("system:nodes", "system:masters"))
    await refused(Authenticator(DOMAIN), connection(chain))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("ann", "system:nodes"),
        ("ann", "system:serviceaccounts"),
        ("ann", "system:serviceaccounts:default"),
        ("ann", "system:unauthenticated"),
        ("system:node:n1", "a"),
        ("system:serviceaccount:default:web", "a"),
        ("system:anonymous", "a"),
    ],
)
async def test_no_user_certificate_can_claim_what_others_prove_otherwise(
    ca: CertificateAuthority, name: str, group: str
) -> None:
    chain = ca.sign_admin(create_csr(new_key(), []), name, ("a", group))
    await refused(Authenticator(DOMAIN), connection(chain))


def test_a_name_alone_makes_no_node() -> None:
    assert User("system:node:n1", ("guests",)).node == ""
    assert User("ann", ("system:nodes",)).node == ""


async def test_long_tokens_are_not_looked_at(ca: CertificateAuthority) -> None:
    async def everybody(_token: str) -> User | None:
        return User("robot")

    assert (
        await Authenticator(DOMAIN, everybody).user(connection("", "Bearer " + "x" * 8192))
    ).name == "robot"
    await refused(Authenticator(DOMAIN, everybody), connection("", "Bearer " + "x" * 8193))


async def test_why_is_not_told_to_the_client() -> None:
    async def picky(_token: str) -> User | None:
        raise TokenRefused("it has expired")

    with pytest.raises(NotAuthenticated) as error:
        await Authenticator(DOMAIN, picky).user(connection("", "Bearer x"))
    assert error.value.message == "Unauthorized"
    assert "expired" in error.value.why


async def test_workloads_and_servers_are_nobody(ca: CertificateAuthority) -> None:
    spiffe_id = f"spiffe://{DOMAIN}/ns/default/sa/node"
    await refused(
        Authenticator(DOMAIN),
        connection(ca.sign_workload(create_spiffe_csr(new_key(), spiffe_id), spiffe_id)),
    )
    await refused(Authenticator(DOMAIN), connection(ca.sign_server(create_csr(new_key(), []), ["x"], [])))


async def test_a_bad_certificate_is_not_mended_by_a_good_token(ca: CertificateAuthority) -> None:
    chain = ca.sign_server(create_csr(new_key(), []), ["x"], [])
    await refused(Authenticator(DOMAIN, review), connection(chain, "Bearer good"))


async def test_tokens() -> None:
    authenticator = Authenticator(DOMAIN, review)
    assert (await authenticator.user(connection("", "bearer good"))).name == "robot"
    for header in ("", "Bearer", "Bearer ", "Bearer bad", "Basic good", "good"):
        await refused(authenticator, connection("", header))
    await refused(Authenticator(DOMAIN), connection("", "Bearer good"))


async def test_a_revoked_certificate_is_nobody_s_from_the_next_request_on(ca: CertificateAuthority) -> None:
    chain = ca.sign_admin(create_csr(new_key(), []), "ann", ("g",))
    serial = x509.load_pem_x509_certificate(chain.encode()).serial_number
    revocations = Revocations()
    authenticator = Authenticator(DOMAIN, review, revocations)
    with pytest.raises(ApiError) as error:
        await authenticator.user(connection(chain))
    assert error.value.code == 503
    assert (await authenticator.user(connection("", "Bearer good"))).name == "robot"
    revocations.loaded()
    assert (await authenticator.user(connection(chain))).name == "ann"
    revocations.put(KEY, json.dumps({"data": {"revoked": f"serial:{serial:x}"}}).encode())
    await refused(authenticator, connection(chain))
    revocations.drop(KEY)
    assert (await authenticator.user(connection(chain))).name == "ann"
