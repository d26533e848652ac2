from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.support.apibed import api_bed
from tests.support.pki import Pki

from tsujiban.controller import serving
from tsujiban.controller.api.server import server_context

pytestmark = pytest.mark.anyio


def test_nobody_can_renegotiate(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    own = serving.make_certificate(pki.ca, tmp_path, ["localhost"])
    assert server_context(str(own), str(own), pki.ca.bundle_pem).options & ssl.OP_NO_RENEGOTIATION


async def test_at_its_end_watches_end(tmp_path: Path) -> None:
    async with api_bed(tmp_path / "bed") as bed:
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(bed.user()))
        writer.write(b"GET /api/v1/secrets?watch=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    assert [event["stage"] for event in bed.audit] == ["ResponseStarted", "ResponseComplete"]
    writer.close()
