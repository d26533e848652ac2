"""Service account tokens: issued for an account, bound to what they live and die with, and verified live.

A token is good only while its account, and the pod, secret or node that it is bound to, is there with
the same uid: an account that is made again under the same name is another account. Claims are those of
Kubernetes (KEP-1205, KEP-4193).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from tsujiban.controller import podrefs
from tsujiban.controller.api.users import ACCOUNT_PREFIX, ACCOUNTS, TokenRefused, User
from tsujiban.controller.tokenkeys import TokenKeys
from tsujiban.identity import jwt
from tsujiban.identity.signingkeys import MAX_TOKEN_LIFETIME, SigningKeys
from tsujiban.store.protocol import Key, NotFound, Store

Json = dict[str, Any]

DEFAULT_SECONDS = 3600
MIN_SECONDS = 600
LEEWAY = 60.0  # seconds for which a token outlives the deletionTimestamp of what it is bound to
_NOT_BEFORE_SKEW = 10.0
_CLAIM = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io"
BOUND = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class TokenNotIssued(Exception):
    """No token for this; the text says why."""


class Bound(msgspec.Struct, frozen=True):
    """What a token ends with: a Pod, Secret or Node. `uid` may be empty: whichever is there."""

    kind: str
    name: str
    uid: str = ""


class Issued(msgspec.Struct, frozen=True):
    """A token. `expires` in UNIX seconds."""

    token: str
    audiences: tuple[str, ...]
    expires: float

    def __repr__(self) -> str:
        return f"Issued(for {self.audiences}, until {self.expires})"


class Verified(msgspec.Struct, frozen=True):
    """Whose token it is, and which of the audiences that were asked for it is meant for."""

    user: User
    audiences: tuple[str, ...]


class TokenService:
    """Issues and verifies tokens. `issuer` is a URL, and the audience of the API itself."""

    def __init__(
        self,
        store: Store,
        keys: SigningKeys,
        issuer: str,
        clock: Callable[[], float] = time.time,
        *,
        shared: TokenKeys | None = None,
    ) -> None:
        """`keys` are this controller's, which sign; `shared` are those of all, when there may be others."""
        self._store = store
        self._keys = keys
        self._shared = shared
        self.issuer = issuer
        self._clock = clock

    # ------------------------------------------------------------ issuing

    async def issue(
        self,
        namespace: str,
        account: str,
        *,
        audiences: Sequence[str] = (),
        seconds: float = DEFAULT_SECONDS,
        bound: Bound | None = None,
        node: str = "",
    ) -> Issued:
        """A token for an account, for at most MAX_TOKEN_LIFETIME. With `node`, who asks is that node, and
        gets tokens bound to its own pods only, for the API and for whom the pod's volumes name.

        Raises:
            NotFound: there is no such account, or nothing to bind it to.
            TokenNotIssued: what it is to be bound to is another one, or not this account's or node's.
        """
        found = await self._object(Key("", "serviceaccounts", namespace, account))
        identity: Json = {
            "namespace": namespace,
            "serviceaccount": {"name": account, "uid": found["metadata"]["uid"]},
        }
        if node and (bound is None or bound.kind != "Pod" or not bound.uid):
            raise TokenNotIssued("node requested token not bound to a pod")
        if bound is not None:
            identity |= await self._binding(namespace, account, bound, node, audiences)
        now = self._clock()
        expires = int(now + min(max(seconds, 1.0), MAX_TOKEN_LIFETIME))
        meant_for = tuple(dict.fromkeys(audiences)) or (self.issuer,)
        claims = {
            "aud": list(meant_for),
            "exp": expires,
            "iat": int(now),
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            _CLAIM: identity,
            "nbf": int(now),
            "sub": f"{ACCOUNT_PREFIX}{namespace}:{account}",
        }
        key = self._keys.current()
        return Issued(jwt.sign(key.key, key.id, claims), meant_for, float(expires))

    async def _binding(
        self, namespace: str, account: str, bound: Bound, node: str, audiences: Sequence[str]
    ) -> Json:
        plural = BOUND.get(bound.kind)
        if plural is None:
            raise TokenNotIssued(f"cannot bind token for serviceaccount to a {bound.kind[:64]!r}")
        found = await self._object(Key("", plural, "" if bound.kind == "Node" else namespace, bound.name))
        uid = found["metadata"]["uid"]
        if bound.uid and bound.uid != uid:
            raise TokenNotIssued(
                f"the UID in the bound object reference ({bound.uid[:64]}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        claims: Json = {bound.kind.lower(): {"name": bound.name, "uid": uid}}
        if bound.kind != "Pod":
            return claims
        own = found["spec"].get("serviceAccountName") or "default"
        if own != account:
            raise TokenNotIssued(
                f"cannot bind token for serviceaccount {account!r} to pod {bound.name!r} running with "
                f"different serviceaccount name"
            )
        runs_on = found["spec"].get("nodeName", "")
        if node and node != runs_on:
            raise TokenNotIssued("node requested token bound to a pod scheduled on a different node")
        strange = set(audiences) - podrefs.audiences(found["spec"]) - {self.issuer} if node else ()
        if strange:
            raise TokenNotIssued(f"audience {min(strange)[:200]!r} not found in pod spec volume")
        if runs_on:
            try:
                where = await self._object(Key("", "nodes", "", runs_on))
            except NotFound:
                return claims
            claims["node"] = {"name": runs_on, "uid": where["metadata"]["uid"]}
        return claims

    # ------------------------------------------------------------ verifying

    async def _public(self, wanted: str) -> Mapping[str, ec.EllipticCurvePublicKey]:
        return self._keys.public(wanted) if self._shared is None else await self._shared.public(wanted)

    async def user(self, token: str) -> User:
        """The user of a token for the API. Raises TokenRefused, StoreError."""
        return (await self.verify(token)).user

    async def verify(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """Whose token it is. `audiences` are those that it may be meant for, none is the API.

        Raises:
            TokenRefused: it proves nothing; the text is for our own log.
            StoreError: what it is bound to cannot be looked up.
        """
        try:
            claims = jwt.verify(token, await self._public(jwt.key_id(token)))
            said = msgspec.convert(claims, _Claims)
        except jwt.JwtRefused as error:
            raise TokenRefused(str(error)) from None
        except msgspec.ValidationError:
            raise TokenRefused("its claims are not those of a service account token") from None
        common = tuple(name for name in (audiences or (self.issuer,)) if name in said.aud)
        now = self._clock()
        if said.iss != self.issuer:
            raise TokenRefused(f"issuer {said.iss[:200]!a} is not ours")
        if not common:
            raise TokenRefused(f"it is meant for {[name[:64] for name in said.aud[:4]]}")
        if now >= said.exp:
            raise TokenRefused(f"it has expired ({now - said.exp:.0f} s ago)")
        if now < said.nbf - _NOT_BEFORE_SKEW:
            raise TokenRefused("it is not valid yet")
        return Verified(await self._alive(said), common)

    async def _alive(self, said: _Claims) -> User:
        who = said.identity
        name = f"{ACCOUNT_PREFIX}{who.namespace}:{who.serviceaccount.name}"
        if said.sub != name:
            raise TokenRefused("its subject is not its service account")
        await self._check("serviceaccounts", who.namespace, who.serviceaccount)
        if who.pod is not None:
            await self._check("pods", who.namespace, who.pod)
        if who.secret is not None:
            await self._check("secrets", who.namespace, who.secret)
        if who.node is not None and who.pod is None:
            await self._check("nodes", "", who.node)
        extra = {f"{_EXTRA}/credential-id": (f"JTI={said.jti}",)}
        for kind, ref in (("pod", who.pod), ("node", who.node)):
            if ref is not None:
                extra |= {f"{_EXTRA}/{kind}-name": (ref.name,), f"{_EXTRA}/{kind}-uid": (ref.uid,)}
        groups = (ACCOUNTS, f"{ACCOUNTS}:{who.namespace}")
        return User(name, groups, who.serviceaccount.uid, tuple(extra.items()))

    async def _check(self, plural: str, namespace: str, ref: _Ref) -> None:
        title = f"{plural} {namespace}/{ref.name}"
        try:
            found = await self._object(Key("", plural, namespace, ref.name))
        except NotFound:
            raise TokenRefused(f"{title} has been deleted") from None
        metadata = found["metadata"]
        if metadata.get("uid") != ref.uid:
            raise TokenRefused(f"{title} is another one than the token's")
        deleted = metadata.get("deletionTimestamp")
        if deleted and self._clock() > _seconds(deleted) + LEEWAY:
            raise TokenRefused(f"{title} is being deleted")

    async def _object(self, key: Key) -> Json:
        found: Json = msgspec.json.decode((await self._store.get(key)).value)
        return found

    # ------------------------------------------------------------ discovery (OpenID Connect)

    def configuration(self) -> Json:
        """`/.well-known/openid-configuration`."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [jwt.ALGORITHM],
        }

    async def jwks(self) -> Json:
        """`/openid/v1/jwks`."""
        if self._shared is not None:
            return await self._shared.jwks()
        self._keys.rotate()
        return {"keys": [jwk for jwk, _ in self._keys.published()]}


class _Ref(msgspec.Struct, frozen=True):
    name: str
    uid: str


class _Identity(msgspec.Struct, frozen=True):
    namespace: str
    serviceaccount: _Ref
    pod: _Ref | None = None
    secret: _Ref | None = None
    node: _Ref | None = None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: list[str]
    exp: int
    nbf: int
    jti: str
    identity: _Identity = msgspec.field(name=_CLAIM)


def _seconds(timestamp: str) -> float:
    try:
        return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0  # not the server's: as good as long ago
