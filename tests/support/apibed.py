"""An API server over real TLS on loopback, with its own CA and store, for tests."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.support.fakenode import FakeNode, FakeStream
from tests.support.wait import PATIENCE, until

from tsujiban.controller import bootstrap, routes
from tsujiban.controller.api import csrs, reviews, streams, tokenapi
from tsujiban.controller.api.access import Access
from tsujiban.controller.api.app import create_app
from tsujiban.controller.api.dispatch import Table
from tsujiban.controller.api.mirror import Mirror
from tsujiban.controller.api.server import serve, server_context
from tsujiban.controller.api.tokens import TokenService
from tsujiban.controller.api.users import User
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.enroller import Enroller, StoredTokens
from tsujiban.controller.enrolment import shared
from tsujiban.controller.join import JoinService
from tsujiban.controller.loop import Change, Loop, Planner, Work
from tsujiban.controller.reconcile import aggregation
from tsujiban.controller.reconcile import csrs as signed
from tsujiban.controller.revocations import KIND, Revocations
from tsujiban.controller.serviceclaims import ServiceClaims
from tsujiban.controller.signers import Signers
from tsujiban.controller.world import CERTIFICATE_REQUESTS, CLUSTER_ROLES, SERVICE_ACCOUNTS, World
from tsujiban.flows.ring import FlowRing
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import make_private_directory
from tsujiban.identity.keys import create_csr, create_spiffe_csr, key_to_pem, new_key
from tsujiban.identity.signingkeys import SigningKeys
from tsujiban.identity.tokens import FileTokenStore
from tsujiban.store.config import EtcdConfig
from tsujiban.store.protocol import Key, Store
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import Exit

TRUST_DOMAIN = "cluster.local"
ISSUER = "https://kubernetes.default.svc.cluster.local"
RBAC = "rbac.authorization.k8s.io"
CONFIG = ControllerConfig(
    cluster="bed",
    state_dir="/nowhere",
    trust_domain=TRUST_DOMAIN,
    store=EtcdConfig(endpoints=("https://etcd:2379",)),
)
TOKEN = "an-administrators-token"  # noqa: S105 - only this test server knows it


class Credentials:
    """Files of one client certificate."""

    def __init__(self, directory: Path, name: str, chain_pem: str, key_pem: str) -> None:
        self.certificate = directory / f"{name}.pem"
        self.key = directory / f"{name}.key"
        self.certificate.write_text(chain_pem)
        self.key.write_text(key_pem)


class ApiBed:
    """A running server."""

    def __init__(self, directory: Path, store: Store, port: int, ca: CertificateAuthority) -> None:
        self.directory = directory
        self.access = Access(store, "10.96.0.0/16", frozenset({"10.96.0.1", "10.96.0.10"}))
        self.revocations = Revocations()
        self.copy = Mirror(store, {KIND: [(self.revocations.put, self.revocations.drop)]})
        keys = SigningKeys(directory / "token-keys")
        self.service = TokenService(store, keys, ISSUER)
        self.store = store
        self.port = port
        self.ca = ca
        self.flows: FlowRing[Any] = FlowRing()
        self.tokens = FileTokenStore(directory / "tokens")
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_text(ca.bundle_pem)
        self._configs: list[Path] = []
        self.streaming = FakeNode(self._no_script)
        self.audit: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def user(self, name: str = "admin", *groups: str) -> Credentials:
        key = new_key()
        chain = self.ca.sign_admin(create_csr(key, []), name, groups or ("system:masters",))
        return Credentials(self.directory, f"user-{name}", chain, key_to_pem(key))

    def node(self, name: str) -> Credentials:
        key = new_key()
        chain = self.ca.sign_node(create_spiffe_csr(key, f"spiffe://{TRUST_DOMAIN}/node/{name}"), name)
        return Credentials(self.directory, f"node-{name}", chain, key_to_pem(key))

    def workload(self, account: str) -> Credentials:
        key = new_key()
        spiffe_id = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/{account}"
        chain = self.ca.sign_workload(create_spiffe_csr(key, spiffe_id), spiffe_id)
        return Credentials(self.directory, f"workload-{account}", chain, key_to_pem(key))

    def tls(self, who: Credentials | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if who is not None:
            context.load_cert_chain(who.certificate, who.key)
        return context

    def client(self, who: Credentials | None = None, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, verify=self.tls(who), headers=headers, timeout=PATIENCE, trust_env=False
        )

    def kubeconfig(self, who: Credentials | str | None = None) -> Path:
        """For the administrator, another user, or (a string) the owner of a bearer token."""
        admin = who or self.user()
        path = self.directory / ("kubeconfig" if who is None else f"kubeconfig-{len(self._configs)}")
        self._configs.append(path)
        named = [{"name": "t", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}]
        user = (
            {"token": admin}
            if isinstance(admin, str)
            else {"client-certificate": str(admin.certificate), "client-key": str(admin.key)}
        )
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": named,
            "users": [{"name": "t", "user": user}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "current-context": "t",
        }
        path.write_bytes(msgspec.json.encode(config))
        return path

    async def grant(self, user: str, *rules: dict[str, Any], role: str = "", namespace: str = "") -> None:
        """Give a user rules of its own, or a ClusterRole, in a namespace or everywhere, and wait until the
        server knows."""
        name = (
            f"test-{user}-{namespace or 'everywhere'}-{len(self.access.grants.rules(User(user), namespace))}"
        )
        where = {"namespace": namespace} if namespace else {}
        if not role:
            made = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)}
            await self._make("clusterroles", "", made)
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        binding = {
            "kind": kind,
            "metadata": {"name": name, **where},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role or name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        }
        await self._make(f"{kind.lower()}s", namespace, binding)

    async def _make(self, plural: str, namespace: str, obj: dict[str, Any]) -> None:
        key = Key(RBAC, plural, namespace, obj["metadata"]["name"])
        made = await self.store.create(key, msgspec.json.encode({"apiVersion": f"{RBAC}/v1", **obj}))
        await self.caught_up(made.revision)

    async def caught_up(self, revision: int = 0) -> None:
        """Wait until the server's copy of roles, bindings and pods is that of the store."""
        wanted = revision or await self.store.revision()
        await until(lambda: self.access.mirror.revision >= wanted)

    async def status(self) -> dict[str, Any]:
        return {"components": [{"name": "store", "healthy": True}], "nodes": []}

    async def _no_script(self, message: OpenSession, stream: FakeStream) -> None:
        await stream.tell(Exit(error=f"nobody plays {message.pod}"))

    async def review(self, token: str) -> User | None:
        if token == TOKEN:
            return User("robot", ("system:masters",))
        return await self.service.user(token)


def _reconciler(store: Store, ca: CertificateAuthority) -> Loop:
    """The part of the control loop that answers to what is written about access."""

    def route(world: World, change: Change) -> list[Work]:
        return [work for work in routes.route(world, change) if work[0] in planners]

    async def observe(_world: World, _changes: Sequence[Change]) -> None:
        return None

    def exists(namespace: str, name: str) -> bool:
        return loop.world.find(SERVICE_ACCOUNTS, namespace, name) is not None

    planners: dict[str, Planner] = {
        "aggregate": aggregation.plan,
        "csr": lambda world, ref: signed.plan(world, ref, Signers(ca, exists).sign),
    }
    loop = Loop(store, {CLUSTER_ROLES, CERTIFICATE_REQUESTS, SERVICE_ACCOUNTS}, route, planners, observe)
    return loop


@asynccontextmanager
async def api_bed(directory: Path, *, several: bool = True) -> AsyncIterator[ApiBed]:
    """A server that is ready, and gone afterwards; of a cluster that may have `several` controllers."""
    make_private_directory(directory)
    ca = CertificateAuthority.create(directory / "ca", TRUST_DOMAIN)
    store = ServiceClaims(await SqliteStore.open(directory / "state" / "store.db"))
    await bootstrap.ensure(store, bootstrap.initial_objects("10.244.0.0/16", 26))
    await bootstrap.ensure_roles(store)
    listener = socket.create_server(("127.0.0.1", 0))
    bed = ApiBed(directory, store, listener.getsockname()[1], ca)
    key = new_key()
    server = Credentials(
        directory,
        "server",
        ca.sign_server(create_csr(key, []), ["localhost"], ["127.0.0.1"]),
        key_to_pem(key),
    )
    following = asyncio.gather(bed.access.run(), bed.copy.run(), _reconciler(store, ca).run())
    bed.revocations.loaded()  # the store is new
    table = Table()
    table.add(*reviews.entries(bed.access), *tokenapi.entries(bed.service), *csrs.entries())
    streams.register(table, bed.streaming.sessions)
    app = create_app(
        store,
        trust_domain=TRUST_DOMAIN,
        join=JoinService(ca, bed.tokens),
        status=bed.status,
        flows=bed.flows,
        tokens=bed.review,
        access=bed.access,
        table=table,
        paths=tokenapi.paths(bed.service),
        audit_sink=bed.audit.append,
        revocations=bed.revocations,
        enroller=Enroller(ca, StoredTokens(store), shared(CONFIG)) if several else None,
    )
    context = server_context(str(server.certificate), str(server.key), ca.bundle_pem)
    serving = asyncio.create_task(serve(app, context, [listener], bed.revocations))
    try:
        yield bed
    finally:
        for task in (serving, following):
            task.cancel()
        await asyncio.gather(serving, following, return_exceptions=True)
        await store.close()
