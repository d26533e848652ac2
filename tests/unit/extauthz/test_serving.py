from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from tests.support.authzworld import DOMAIN, policies

from tsujiban.extauthz.service import Authorization
from tsujiban.extauthz.serving import AddressError, check, start


@pytest.mark.parametrize("address", ["unix:relative", "nowhere", "1.2.3.4", "::1:80"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        check(address, tls=True)


def test_tcp_without_mutual_tls_is_refused() -> None:
    with pytest.raises(AddressError, match="mutual TLS"):
        check("127.0.0.1:9000", tls=False)


def test_the_socket_is_private_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        for _ in range(2):
            server = await start(Authorization(policies().world, DOMAIN), f"unix:{path}", None)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            server.close()
            await server.wait_closed()

    asyncio.run(main())
