from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.meshapps import READS, allow, echo_http
from tests.support.proxybed import Bed, tier
from tests.support.wait import PATIENCE

from tsujiban.policy.program import Mesh
from tsujiban.proxy import clusters, inbound, tokens


@contextmanager
def make_bed(mesh: Mesh) -> Iterator[Bed]:
    # Not pytest's tmp_path: its directories are closed to the sidecars' users.
    directory = Path(tempfile.mkdtemp(prefix="tsujiban-proxy-"))
    directory.chmod(0o755)
    one = Bed(directory, mesh)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """No proxy gives up anybody because a machine stands still. (An agent that is gone is given up after
    `routes.ASK_SECONDS`: many tests wait for that, and others set it for themselves.)"""
    long = f"{PATIENCE:.0f}s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbound, "SILENCE_TIMEOUT", long)
        patch.setattr(clusters, "CONNECT_TIMEOUT", long)
        patch.setattr(tokens, "_FETCH_TIMEOUT", long)
        yield


BOTH = [pytest.param(one, id=str(one)) for one in (Mesh.SIDECAR, Mesh.NODE)]


@pytest.fixture(params=BOTH)
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with make_bed(request.param) as one:
        yield one


@pytest.fixture
def node_bed() -> Iterator[Bed]:
    with make_bed(Mesh.NODE) as one:
        yield one


@pytest.fixture(scope="module", params=BOTH)
def shared_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with make_bed(request.param) as one:
        yield one


@pytest.fixture(scope="module", params=BOTH)
def shared_web(request: pytest.FixtureRequest) -> Iterator[tuple[Bed, str]]:
    """A web server that `customer` may GET below /v1, and nobody else anything."""
    with make_bed(request.param) as one:
        web = one.pod("web", ingress=(tier("default/web"),))
        customer = one.pod("customer")
        one.pod("stranger")
        web.listen(80, echo_http)
        one.update(**allow(customer, http=READS))
        one.settle()
        yield one, web.address
