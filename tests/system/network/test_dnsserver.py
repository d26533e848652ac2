"""The DNS server as the supervisor runs it: root only until it has bound, asked from a pod."""

import asyncio
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from tests.support import machine
from tests.support.wait import PATIENCE, until

from tsujiban.local.fabric import DNS_ADDRESS
from tsujiban.network import dnsserver, links, namespaces, zone
from tsujiban.resources.names import pod_namespace
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.netns import call_in, namespace_path

pytestmark = pytest.mark.system
NAME = "web.shop.svc.cluster.local"


def _zone(address: str) -> zone.Zone:
    return zone.Zone(domain="cluster.local", names={NAME: zone.Records(addresses=[address])})


def test_a_pod_asks_an_unprivileged_server_of_its_node() -> None:
    async def body(node: str, pod: str, socket: Path, run_dir: Path) -> None:
        path = run_dir / "private" / "dns" / "zone.json"
        await asyncio.to_thread(zone.write, path, _zone("10.0.0.1"))
        path.parent.parent.chmod(0o700)

        def ask() -> list[str]:
            query = dns.message.make_query(NAME, "A")
            response = call_in(
                namespace_path(pod), lambda: dns.query.udp(query, DNS_ADDRESS, timeout=PATIENCE)
            )
            assert response.rcode() == dns.rcode.NOERROR
            return [rdata.to_text() for rrset in response.answer for rdata in rrset]

        async with SupervisorClient(socket) as supervisor:
            spec = dnsserver.process("node/dns", str(path), DNS_ADDRESS, namespace_path(node))
            state = await supervisor.start(spec)
            log = Path(state.log)
            await until(lambda: b"ready" in log.read_bytes())
            assert ask() == ["10.0.0.1"]
            status = await asyncio.to_thread(Path(f"/proc/{state.pid}/status").read_text)
            assert "Uid:\t65534\t65534\t65534\t65534" in status
            for line in ("CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"):
                assert line in status
            # it follows the file without being told, and goes on when nobody writes it any more
            await asyncio.to_thread(zone.write, path, _zone("10.0.0.2"))
            await until(lambda: ask() == ["10.0.0.2"])

    with machine.fabric(1) as fabric, machine.supervisor() as (socket, run_dir):
        node, pod = fabric.node("node-1", 1).namespace, pod_namespace(fabric.cluster, "1")
        namespaces.create(pod)
        link = links.PodLink(uid="1", namespace=pod, addresses=("10.244.0.1",))
        call_in(namespace_path(node), lambda: links.add(link))
        asyncio.run(body(node, pod, socket, run_dir))
