"""The engine on etcd against the model of tests/support/storemodel.py, with a real member."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.support.etcdbed import EtcdBed, single
from tests.support.storemodel import StoreMachine

from tsujiban.store.config import connect
from tsujiban.store.etcd.engine import EtcdStore
from tsujiban.store.protocol import Store

pytestmark = pytest.mark.system

EXAMPLES = int(os.environ.get("TSUJIBAN_ETCD_EXAMPLES", "5"))


@pytest.fixture(scope="module")
def bed() -> Iterator[EtcdBed]:
    with single() as running:
        yield running


@pytest.mark.timeout(600)
def test_etcd_is_a_dictionary(bed: EtcdBed) -> None:
    class EtcdMachine(StoreMachine):
        """On a part of etcd of its own; what one forgets, the next must not need: so each starts late."""

        def __init__(self) -> None:
            self.cluster = uuid.uuid4().hex[:12]
            super().__init__()

        async def open(self) -> Store:
            return await EtcdStore.open(connect(bed.config), self.cluster)

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        EtcdMachine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=15, deadline=None, suppress_health_check=checks
        ),
    )
