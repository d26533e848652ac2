"""The secrets of a new local cluster: its CA, the administrator's certificate, the nodes' join files.

`up` runs as root on the machine that holds everything, so it makes them directly; a joining
machine elsewhere gets a join file of the same form.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import make_private_directory, write_private
from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.identity.tokens import FileTokenStore, new_token
from tsujiban.local import kubeconfig
from tsujiban.local.layout import API_PORT, CONTROLLER_ADDRESS, Layout
from tsujiban.wire.join import JoinFile, bundle_digest

ADMIN = "tsujiban-admin"


def make(layout: Layout, trust_domain: str, nodes: list[str], api_port: int) -> None:
    """Make whatever is not there yet. Raises OSError, PrivateFileError, CaStoreError."""
    make_private_directory(layout.controller_state)
    ca = CertificateAuthority.open(layout.controller_state / "ca", trust_domain)
    _admin(layout, ca, api_port)
    asyncio.run(join_files(layout, ca, nodes))


def _admin(layout: Layout, ca: CertificateAuthority, api_port: int) -> None:
    directory = layout.kubeconfig.parent
    make_private_directory(directory)
    key = new_key()
    files = directory / "ca.pem", directory / "admin.pem", directory / "admin.key"
    content = ca.bundle_pem, ca.sign_admin(create_csr(key, []), ADMIN), key_to_pem(key)
    for path, text in zip(files, content, strict=True):
        write_private(path, text.encode())
    access = kubeconfig.Access(f"https://127.0.0.1:{api_port}", *files)
    kubeconfig.write(layout.kubeconfig, layout.cluster, access)


async def join_files(layout: Layout, ca: CertificateAuthority, nodes: list[str]) -> None:
    """Make a new join file for each node."""
    tokens = FileTokenStore(layout.controller_state / "tokens")
    for node in nodes:
        make_private_directory(layout.node_state(node))
        token, record = new_token(node, time.time())
        await tokens.add(record)
        join = JoinFile(
            server=f"https://{CONTROLLER_ADDRESS}:{API_PORT}",
            node=node,
            token=token,
            ca_sha256=bundle_digest(ca.bundle_pem),
        )
        write_private(layout.join_file(node), msgspec.json.encode(join))
