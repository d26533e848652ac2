"""Real etcd members with TLS, each in a network namespace of its own if there are several, for tests.

A hub namespace holds the bridge; one link of it leads to the test's own namespace. So a member can be
cut off from everything, or from its peers only, which is how a leader becomes one that knows nothing.
"""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.support.machine import run
from tests.support.wait import PATIENCE

from tsujiban.store.config import EtcdConfig

NETWORK = "100.115.92"  # of the shared address space (RFC 6598), unlikely to be the machine's own


class Certificates:
    """A certification authority of this test, and one certificate that is server, peer and client."""

    def __init__(self, directory: Path, addresses: list[str]) -> None:
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
        authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd test CA")])
        root = _builder(issuer, issuer, authority).add_extension(x509.BasicConstraints(True, None), True)
        key_id = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
        root = root.add_extension(key_id, False)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
        leaf = (
            _builder(issuer, subject, own)
            .add_extension(x509.ExtendedKeyUsage(usage), False)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), False)
        )
        self.ca.write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self.cert.write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        pem = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.key.touch(0o600)
        self.key.write_bytes(pem)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


class EtcdBed:
    """A cluster; members are numbered from 0."""

    def __init__(
        self, directory: Path, hosts: list[tuple[str, int, int]], namespaces: list[str], hub: str
    ) -> None:
        self.directory = directory
        self.certificates = Certificates(directory, sorted({host for host, _, _ in hosts}))
        self._hosts = hosts
        self._namespaces = namespaces
        self._hub = hub
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def members(self) -> range:
        return range(len(self._hosts))

    @property
    def config(self) -> EtcdConfig:
        return EtcdConfig(
            endpoints=tuple(f"https://{host}:{port}" for host, port, _ in self._hosts),
            ca_file=str(self.certificates.ca),
            cert_file=str(self.certificates.cert),
            key_file=str(self.certificates.key),
        )

    def start(self, member: int) -> None:
        host, client, peer = self._hosts[member]
        cluster = ",".join(f"m{n}=https://{h}:{p}" for n, (h, _, p) in enumerate(self._hosts))
        argv = ["ip", "netns", "exec", self._namespaces[member]] if self._namespaces else []
        argv += ["etcd", "--name", f"m{member}", "--data-dir", str(self.directory / f"m{member}")]
        argv += ["--listen-client-urls", f"https://{host}:{client}"]
        argv += ["--advertise-client-urls", f"https://{host}:{client}"]
        argv += ["--listen-peer-urls", f"https://{host}:{peer}"]
        argv += ["--initial-advertise-peer-urls", f"https://{host}:{peer}"]
        argv += ["--initial-cluster", cluster, "--initial-cluster-token", self.directory.name]
        for kind in ("", "peer-"):
            argv += [f"--{kind}client-cert-auth", f"--{kind}trusted-ca-file", str(self.certificates.ca)]
            argv += [f"--{kind}cert-file", str(self.certificates.cert)]
            argv += [f"--{kind}key-file", str(self.certificates.key)]
        argv += ["--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"]
        with (self.directory / f"m{member}.log").open("ab") as log:
            self._processes[member] = subprocess.Popen(argv, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until every member listens."""
        deadline = time.monotonic() + PATIENCE
        for member, (host, port, _) in enumerate(self._hosts):
            while True:
                try:
                    socket.create_connection((host, port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise TimeoutError((self.directory / f"m{member}.log").read_text()[-2000:]) from None
                    time.sleep(0.05)

    def pid(self, member: int) -> int:
        return self._processes[member].pid

    def kill(self, member: int) -> None:
        """kill -9."""
        process = self._processes.pop(member)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def cut(self, member: int, *, off: bool) -> None:
        """Take the member's cable out, or put it back."""
        run("ip", "-n", self._hub, "link", "set", f"m{member}", "down" if off else "up")

    def part(self, member: int, *, off: bool) -> None:
        """Part the member from its peers; clients still reach it. Or join them again."""
        _, _, peer = self._hosts[member]
        rules = "delete table inet part"
        if off:
            chain = f"type filter hook input priority 0; tcp dport {peer} drop; tcp sport {peer} drop;"
            rules = f"table inet part {{ chain in {{ {chain} }}\n}}\n"
        run("ip", "netns", "exec", self._namespaces[member], "nft", rules)

    def stop(self) -> None:
        for member in list(self._processes):
            self.kill(member)


@contextmanager
def single(folder: str | None = None) -> Iterator[EtcdBed]:
    """One member on loopback; its data is in `folder`, or where temporary files are."""
    ports = []
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for probe in probes:
        ports.append(probe.getsockname()[1])
        probe.close()
    with _directory(folder) as directory:
        yield from _running(EtcdBed(directory, [("127.0.0.1", ports[0], ports[1])], [], ""))


@contextmanager
def cluster(members: int = 3) -> Iterator[EtcdBed]:
    """Several members, each in its namespace. Needs root."""
    name = "te" + uuid.uuid4().hex[:8]
    hub, namespaces = f"{name}-hub", [f"{name}-{number}" for number in range(members)]
    try:
        _lay(name, hub, namespaces)
        with _directory() as directory:
            hosts = [(f"{NETWORK}.{number + 11}", 2379, 2380) for number in range(members)]
            yield from _running(EtcdBed(directory, hosts, namespaces, hub))
    finally:
        for namespace in (*namespaces, hub):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def _lay(link: str, hub: str, namespaces: list[str]) -> None:
    run("ip", "netns", "add", hub)
    run("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", hub, "link", "set", "br0", "up")
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "test", "netns", hub)
    run("ip", "-n", hub, "link", "set", "test", "master", "br0", "up")
    run("ip", "address", "add", f"{NETWORK}.1/24", "dev", link)
    run("ip", "link", "set", link, "up")
    for number, namespace in enumerate(namespaces):
        run("ip", "netns", "add", namespace)
        run(
            "ip",
            "-n",
            hub,
            "link",
            "add",
            f"m{number}",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            namespace,
        )
        run("ip", "-n", hub, "link", "set", f"m{number}", "master", "br0", "up")
        run("ip", "-n", namespace, "address", "add", f"{NETWORK}.{number + 11}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", namespace, "link", "set", device, "up")


@contextmanager
def _directory(folder: str | None = None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tsujiban-etcd-", dir=folder))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _running(bed: EtcdBed) -> Iterator[EtcdBed]:
    try:
        for member in bed.members:
            bed.start(member)
        bed.wait()
        yield bed
    finally:
        bed.stop()
