"""A bed of namespaces for each module, the kernel post in its node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.kernelbed import Bed

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Conntrack
from tsujiban.kernel.diff import remove
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import Settings
from tsujiban.kernel.verdicts import Logging


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    made = Bed(("a", "b"))
    yield made
    made.close()


@pytest.fixture
def post(bed: Bed) -> Iterator[KernelPost]:
    """A post that begins without any table."""
    settings = Settings(dns_addresses=("10.96.0.10",), logging=Logging(rate=100_000, burst=100_000))
    made = bed.in_node(lambda: KernelPost(settings, Nft()))
    conntrack = bed.in_node(Conntrack)
    for connection in conntrack.connections():
        conntrack.end(connection)
    conntrack.close()
    yield made
    made.close()
    with bed.in_node(Nft) as nft:
        nft.run(remove("tsujiban") + remove("tsujiban-services"))
