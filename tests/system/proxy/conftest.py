from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.meshapps import READS, allow, echo_http
from tests.support.proxybed import Bed, tier


@contextmanager
def make_bed() -> Iterator[Bed]:
    # Not pytest's tmp_path: its directories are closed to the sidecars' users.
    directory = Path(tempfile.mkdtemp(prefix="tsujiban-proxy-"))
    directory.chmod(0o755)
    one = Bed(directory)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def bed() -> Iterator[Bed]:
    with make_bed() as one:
        yield one


@pytest.fixture(scope="module")
def shared_web() -> Iterator[tuple[Bed, str]]:
    """A web server that `customer` may GET below /v1, and nobody else anything."""
    with make_bed() as one:
        web = one.pod("web", ingress=(tier("default/web"),))
        customer = one.pod("customer")
        one.pod("stranger")
        web.listen(80, echo_http)
        one.update(**allow(customer, http=READS))
        one.settle()
        yield one, web.address
