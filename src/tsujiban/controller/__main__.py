"""`python -m tsujiban.controller --config FILE`: the control-plane process.

Its listening sockets are passed in (LISTEN_FDS, as systemd and our supervisor do), so that they
can be in other network namespaces, and so that clients wait in the queue while it is restarted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

import msgspec

from tsujiban import daemon
from tsujiban.controller import enrolment, serving
from tsujiban.controller.api import csrs, reviews, streams, tokenapi
from tsujiban.controller.api.access import Access
from tsujiban.controller.api.app import create_app
from tsujiban.controller.api.auditfile import AuditFile
from tsujiban.controller.api.dispatch import Table
from tsujiban.controller.api.mirror import Mirror
from tsujiban.controller.api.server import serve, server_context
from tsujiban.controller.api.tokens import TokenService
from tsujiban.controller.config import ControllerConfig, load
from tsujiban.controller.enroller import Enroller, StoredTokens
from tsujiban.controller.join import JoinService
from tsujiban.controller.lead import Lead, end_of_lead
from tsujiban.controller.nodes import NodeServer
from tsujiban.controller.plane import Plane
from tsujiban.controller.podtokens import PodTokens
from tsujiban.controller.revocations import KIND, Revocations
from tsujiban.controller.roster import Roster, addresses_of
from tsujiban.controller.serviceclaims import ServiceClaims
from tsujiban.controller.sessions import Sessions
from tsujiban.controller.signers import Signers
from tsujiban.controller.signing import Signer
from tsujiban.controller.status import StatusReport
from tsujiban.controller.tokenkeys import TokenKeys, identity_in
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import make_private_directory
from tsujiban.identity.signingkeys import SigningKeys
from tsujiban.identity.tls import server_context as node_context
from tsujiban.identity.tokens import FileTokenStore
from tsujiban.store.config import open_store
from tsujiban.store.protocol import Store, StoreError

FIRST_DESCRIPTOR = 3  # sd_listen_fds(3)


def main() -> int:
    """Run until told to stop; 1 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tsujiban.controller")
    parser.add_argument("--config", type=Path, required=True, help="configuration file (JSON)")
    options = parser.parse_args()
    daemon.log_to_stderr()
    try:
        config = load(options.config)
        sockets = _sockets(config.api_sockets + 1)
        daemon.run(end_of_lead(_run(config, sockets)))
    except (OSError, ValueError, msgspec.MsgspecError, StoreError) as error:
        print(
            f"controller: {' '.join(str(error).split())}", file=sys.stderr
        )  # one line: it is shown elsewhere
        return 1
    return 0


def _sockets(count: int) -> list[socket.socket]:
    passed = int(os.environ.get("LISTEN_FDS", "0"))
    if passed != count:
        raise ValueError(f"{count} listening sockets must be passed in LISTEN_FDS, not {passed}")
    return [socket.socket(fileno=FIRST_DESCRIPTOR + number) for number in range(count)]


def _roster(
    config: ControllerConfig, store: Store, identity: str, listener: socket.socket, nodes: NodeServer
) -> Roster:
    """Raises ValueError for `node_endpoints` that cannot be."""
    own = addresses_of(identity, config.node_endpoints, listener)
    elsewhere = (config.pod_cidr, config.service_cidr)
    return Roster(store, identity, own, nodes.introduce, elsewhere=elsewhere)


async def _first_read(copy: Mirror, revocations: Revocations) -> None:
    """What the store does not hold when it has been read once, is not there."""
    await copy.ready.wait()
    revocations.loaded()


async def _run(config: ControllerConfig, sockets: list[socket.socket]) -> None:
    make_private_directory(config.state)
    ca = CertificateAuthority.open(config.state / "ca", config.trust_domain)
    identity = identity_in(config.state)
    certificate = serving.make_certificate(ca, config.state, serving.names(config, identity))
    store = ServiceClaims(await open_store(config.store, config.state, config.cluster))
    lead = Lead(config, store)
    try:
        revocations = Revocations()
        ca.refuses = revocations.identity
        copy = Mirror(store, {KIND: [(revocations.put, revocations.drop)]})
        plane = Plane(config, lead.store, ca.bundle_pem, ca.crl)
        sessions = Sessions(lambda node, message: nodes.ask(node, message))
        keys = SigningKeys(config.state / "token-keys")
        shared = TokenKeys(store, keys, identity) if lead.elects else None
        if shared is not None:
            await shared.publish()
        issuer = f"https://kubernetes.default.svc.{config.cluster_domain}"
        tokens = TokenService(store, keys, issuer, shared=shared)
        nodes = NodeServer(
            config.trust_domain,
            on_hello=lead.only_leader(plane.hello),
            on_message=plane.message,
            on_gone=plane.gone,
            sign=Signer(ca, plane.pod_identity, config.svid_lifetime, plane.not_signed).sign,
            token=PodTokens(store, tokens).issue,
            on_session=sessions.serve,
            on_told=plane.told,
            revoked=revocations.certificate,
        )
        revocations.on_change.append(nodes.end_revoked)
        plane.send, plane.disconnect = lead.while_leading(nodes.send), nodes.disconnect
        plane.sign_request = Signers(ca, plane.account_exists).sign
        access = Access(store, config.service_cidr, config.reserved_addresses)
        table = Table()
        table.add(*reviews.entries(access), *tokenapi.entries(tokens), *csrs.entries())
        streams.register(table, sessions)
        app = create_app(
            store,
            trust_domain=config.trust_domain,
            join=JoinService(ca, FileTokenStore(config.state / "tokens"), revoked=revocations.node_revoked),
            status=StatusReport(
                plane, serving.expires(certificate), store, lead.role, nodes.nodes, revocations.problem
            ),
            flows=plane.flows,
            tokens=tokens.user,
            access=access,
            table=table,
            paths=tokenapi.paths(tokens),
            audit_sink=AuditFile(config.state / "audit"),
            revocations=revocations,
            enroller=Enroller(ca, StoredTokens(store), enrolment.shared(config)) if lead.elects else None,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(access.run())
            tasks.create_task(copy.run())
            tasks.create_task(_first_read(copy, revocations))
            tasks.create_task(lead.run(plane.run))
            if shared is not None:
                tasks.create_task(shared.run())
                tasks.create_task(_roster(config, store, identity, sockets[-1], nodes).run())
            if not lead.elects:
                await plane.loop.synced.wait()
                await revocations.read.wait()
            await nodes.start(sockets[-1], node_context(certificate, ca.bundle_pem))
            context = server_context(str(certificate), str(certificate), ca.bundle_pem)
            tasks.create_task(serve(app, context, sockets[:-1], revocations))
    finally:
        await lead.end()
        await store.close()


if __name__ == "__main__":
    sys.exit(main())
