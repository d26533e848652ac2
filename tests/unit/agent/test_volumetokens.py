"""Tokens of volumes: for whom the pod says, fresh in time, and none believed that is for another."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.wait import PATIENCE, until

from tsujiban.agent import volumes, volumetokens
from tsujiban.agent.objects import ConfigError, Objects
from tsujiban.agent.volumetokens import VolumeTokens
from tsujiban.identity import jwt
from tsujiban.identity.rotation import SignFailed
from tsujiban.resources.kinds.core import Pod, PodSpec
from tsujiban.resources.kinds.meta import ObjectMeta
from tsujiban.wire.messages import TokenIssued

KEY = ec.generate_private_key(ec.SECP256R1())
SOURCES: list[dict[str, Any]] = [
    {"serviceAccountToken": {"path": "vault/token", "audience": "vault", "expirationSeconds": 600}},
    {"serviceAccountToken": {"path": "api"}},
]
POD = Pod(
    metadata=ObjectMeta(name="p", namespace="bank", uid="u1"),
    spec=PodSpec(volumes=({"name": "v", "projected": {"sources": SOURCES}},)),
)
VAULT, API = ("v", "vault/token"), ("v", "api")


class Controller:
    """Issues tokens that live for `life` seconds; as `old` it knows nothing of audiences."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, str]] = []
        self.life = 3600.0
        self.old = self.refuses = False

    async def __call__(self, key: str, uid: str, seconds: int, audience: str) -> TokenIssued:
        self.asked.append((key, uid, seconds, audience))
        if self.refuses:
            raise SignFailed("no such account")
        now = time.time()
        meant = "https://issuer" if self.old or not audience else audience
        claims = {"aud": [meant], "iat": now, "exp": now + self.life, "jti": len(self.asked)}
        token = jwt.sign(KEY, "k", claims)
        return TokenIssued(request=1, token=token, expires=now + self.life)


class Scene:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.controller = Controller()
        self.changes = 0
        self.made = self.tokens()

    def tokens(self) -> VolumeTokens:
        return VolumeTokens("bank/p", POD, self.directory, self.controller, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def write(self) -> None:
        volumes.materialise(POD, self.directory, os.getuid(), Objects(tokens=self.made.tokens))

    def audience(self, path: str) -> list[str]:
        found: list[str] = jwt.unverified((self.directory / "v" / path).read_text())["aud"]
        return found


def story(tmp_path: Path, act: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await act(Scene(tmp_path))

    asyncio.run(main())


def test_each_is_for_whom_the_pod_says_and_for_its_containers_user_alone(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.made.ensure()
        assert scene.controller.asked == [("bank/p", "u1", 600, "vault"), ("bank/p", "u1", 3600, "")]
        scene.write()
        assert scene.audience("vault/token") == ["vault"]
        assert scene.audience("api") == ["https://issuer"]
        assert (tmp_path / "v" / "api").stat().st_mode & 0o777 == 0o600
        await scene.made.ensure()
        assert len(scene.controller.asked) == 2

    story(tmp_path, act)


def test_they_are_renewed_before_four_fifths_of_their_life(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        life = scene.controller.life = 4000.0
        began = time.time()
        await scene.made.ensure()
        ended = time.time()  # each counts from when it was made
        assert all(began + 0.7 * life < due <= ended + 0.8 * life for due in scene.made._due.values())
        before = dict(scene.made.tokens)
        scene.made._due = dict.fromkeys(scene.made._due, 0.0)
        keeping = asyncio.create_task(scene.made.keep())
        await until(lambda: scene.changes >= 2)
        keeping.cancel()
        assert all(scene.made.tokens[place] != before[place] for place in (VAULT, API))

    story(tmp_path, act)


def test_a_day_is_the_longest_that_one_is_kept(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        scene.controller.life = 30 * 24 * 3600.0
        await scene.made.ensure()
        assert max(scene.made._due.values()) <= time.time() + volumetokens.OLDEST

    story(tmp_path, act)


def test_a_renewal_that_fails_is_tried_again_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumetokens, "retry_delay", lambda _failures, _spread: 0.01)

    async def act(scene: Scene) -> None:
        await scene.made.ensure()
        before = dict(scene.made.tokens)
        scene.controller.refuses = True
        scene.made._due[API] = 0.0
        keeping = asyncio.create_task(scene.made.keep())
        await until(lambda: len(scene.controller.asked) > 5)
        assert (scene.made.tokens, scene.changes) == (before, 0)
        scene.controller.refuses = False
        await until(lambda: scene.changes == 1)
        keeping.cancel()

    story(tmp_path, act)


def test_an_agent_that_starts_again_goes_on_with_what_is_there(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.made.ensure()
        scene.write()
        scene.controller.refuses = True  # nor is there a controller now
        scene.made = scene.tokens()
        await scene.made.ensure()
        assert len(scene.controller.asked) == 2
        scene.write()
        assert scene.audience("vault/token") == ["vault"]

    story(tmp_path, act)


def test_what_has_expired_meanwhile_is_got_anew(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.made.ensure()
        old = jwt.sign(KEY, "k", {"aud": ["vault"], "iat": 1.0, "exp": 2.0})
        scene.made.tokens[VAULT] = old.encode()
        scene.write()
        scene.made = scene.tokens()
        await scene.made.ensure()
        assert scene.controller.asked[2:] == [("bank/p", "u1", 600, "vault")]

    story(tmp_path, act)


def test_a_token_for_another_audience_is_never_shown(tmp_path: Path) -> None:
    """A controller of before would send one for the API to whoever asks for one for `vault`."""

    async def act(scene: Scene) -> None:
        scene.controller.old = True
        with pytest.raises(ConfigError, match="no token for 'vault'"):
            await scene.made.ensure()
        with pytest.raises(ConfigError, match="no token"):
            scene.write()
        assert not (tmp_path / "v" / "..data").exists()

    story(tmp_path, act)


def test_a_pod_without_such_volumes_asks_for_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        controller = Controller()
        plain = Pod(metadata=POD.metadata, spec=PodSpec())
        tokens = VolumeTokens("bank/p", plain, tmp_path, controller, lambda: None)
        await tokens.ensure()
        await tokens.keep()
        assert controller.asked == []

    asyncio.run(main())
