import signal
from typing import Any

import msgspec
import pytest

from tsujiban.agent import hooks
from tsujiban.agent.hooks import Hook, Hooks
from tsujiban.agent.objects import ConfigError
from tsujiban.resources.kinds.core import Container


def parsed(**lifecycle: Any) -> Hooks:
    fields = {"name": "c", "ports": [{"name": "http", "containerPort": 80}], "lifecycle": lifecycle}
    return hooks.parse(msgspec.convert(fields, Container))


def test_nothing_is_asked() -> None:
    assert hooks.parse(Container(name="c")) == Hooks() == parsed()


def test_what_is_done_is_what_a_probe_does_or_a_wait() -> None:
    found = parsed(
        postStart={"exec": {"command": ["touch", "x"]}},
        preStop={"httpGet": {"port": "http", "path": "/bye"}},
        stopSignal="SIGUSR1",
    )
    assert found.post_start is not None
    assert found.post_start.probe is not None
    assert found.post_start.probe.command == ("touch", "x")
    assert found.pre_stop is not None
    assert found.pre_stop.probe is not None
    assert (found.pre_stop.probe.port, found.pre_stop.probe.path) == (80, "/bye")
    assert found.pre_stop.probe.timeout == hooks.LONGEST
    assert found.stop_signal == signal.SIGUSR1
    assert parsed(preStop={"sleep": {"seconds": 3}}).pre_stop == Hook(sleep=3.0)


@pytest.mark.parametrize(
    ("lifecycle", "said"),
    [
        ({"preStop": {}}, "lifecycle.preStop: container c: a probe must be"),
        ({"postStart": {"exec": "x"}}, "container c: lifecycle: Expected"),
        ({"stopSignal": "SIGNONE"}, "'SIGNONE' is no signal"),
    ],
)
def test_what_cannot_be_done_is_said(lifecycle: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parsed(**lifecycle)
