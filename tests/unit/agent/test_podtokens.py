from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.agent import podtokens
from tsujiban.agent.podtokens import MOUNT_PATH, PodToken, renewed, wants_token, with_token
from tsujiban.agent.sandbox import Mount
from tsujiban.identity.rotation import SignFailed
from tsujiban.resources.kinds.core import Pod
from tsujiban.resources.load import decode
from tsujiban.wire.messages import TokenIssued


class Place:
    container_uid = os.getuid()
    trust_bundle_pem = "ROOTS"


def pod(**spec: Any) -> Pod:
    raw = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "bank", "uid": "u1"},
        "spec": {"containers": [{"name": "c", "image": "host"}], **spec},
    }
    found = decode(raw)
    assert isinstance(found, Pod)
    return found


class Controller:
    def __init__(self, lifetime: float = 3600.0) -> None:
        self.asked: list[tuple[str, str, int, str]] = []
        self.lifetime = lifetime
        self.refuses = False

    async def __call__(self, key: str, uid: str, seconds: int, audience: str) -> TokenIssued:
        self.asked.append((key, uid, seconds, audience))
        if self.refuses:
            raise SignFailed("no such account")
        token = f"token-{len(self.asked)}"
        return TokenIssued(request=1, token=token, expires=time.time() + self.lifetime)


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def story(tmp_path: Path, controller: Controller, act: Callable[[PodToken, Path], Any]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            token = PodToken("bank/p", pod(), tmp_path, Place(), controller)
            await act(token, podtokens.token_directory(tmp_path))

    asyncio.run(main())


def test_three_files_of_the_containers_user(tmp_path: Path) -> None:
    controller = Controller()

    async def act(token: PodToken, directory: Path) -> None:
        await token.ensure()
        assert contents(directory) == {"token": "token-1", "ca.crt": "ROOTS", "namespace": "bank"}
        assert (directory / "token").stat().st_mode & 0o777 == 0o400
        assert controller.asked == [("bank/p", "u1", 3607, "")]

    story(tmp_path, controller, act)


def test_a_restarted_agent_keeps_a_good_token_and_replaces_one_that_ends(tmp_path: Path) -> None:
    controller = Controller()

    async def act(token: PodToken, directory: Path) -> None:
        await token.ensure()
        await token.ensure()
        assert len(controller.asked) == 1
        os.utime(directory / "token", (1, time.time() + 30))
        await token.ensure()
        assert (directory / "token").read_text() == "token-2"

    story(tmp_path, controller, act)


def test_it_is_renewed_in_time(tmp_path: Path) -> None:
    controller = Controller(lifetime=0.2)

    async def act(token: PodToken, directory: Path) -> None:
        await token.ensure()
        async with renewed(token):
            await until(lambda: (directory / "token").read_text() not in ("token-1", "token-2"))
        asked = len(controller.asked)
        await asyncio.sleep(0.3)
        assert len(controller.asked) == asked  # it ends with its pod

    story(tmp_path, controller, act)


def test_a_refused_token_holds_up_no_pod_and_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podtokens, "_AGAIN", 0.01)
    controller = Controller()
    controller.refuses = True

    async def act(token: PodToken, directory: Path) -> None:
        await token.ensure()
        assert contents(directory).keys() == {"ca.crt", "namespace"}
        controller.refuses = False
        async with renewed(token):
            await until((directory / "token").exists)

    story(tmp_path, controller, act)


def test_who_gets_one() -> None:
    assert wants_token(pod())
    assert wants_token(pod(automountServiceAccountToken=True))
    assert not wants_token(pod(automountServiceAccountToken=False))


def test_where_it_is_seen(tmp_path: Path) -> None:
    other = Mount("/x", "/data")
    own = Mount("/y", MOUNT_PATH + "/")
    shown = with_token(pod(), tmp_path, (other,))
    assert shown == (other, Mount(str(tmp_path / "serviceaccount"), MOUNT_PATH))
    assert not shown[1].writable
    assert with_token(pod(), tmp_path, (own,)) == (own,)
    assert with_token(pod(automountServiceAccountToken=False), tmp_path, (other,)) == (other,)
