"""Certificates that are not taken any more, though they have not expired.

They are listed in the key `revoked` of ConfigMap `tsujiban-revoked` in namespace `kube-system`, one a line: a
SPIFFE ID (whoever proves it is refused) or the serial number of one certificate (`serial:` and hexadecimal
digits); `#` begins a comment. The list becomes a DENY that selects every workload, so that it is evaluated,
explained, distributed and enforced as any policy is; serial numbers are seen by proxies alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tsujiban.policy.definitions import AuthorizationForm
from tsujiban.policy.population import Key
from tsujiban.policy.program import AuthzAction, AuthzProgram, AuthzRule, AuthzSource, StringMatch
from tsujiban.resources import selectors, spiffe
from tsujiban.resources.kinds.core import ConfigMap

NAMESPACE, NAME, FIELD = "kube-system", "tsujiban-revoked", "revoked"
CONFIG_KEY: Key = ("ConfigMap", NAMESPACE, NAME)
RULE = "_mesh/revoked"
_SERIAL = re.compile(r"serial:([0-9a-fA-F:]{1,80})")


def entry(text: str) -> str:
    """One entry in its one spelling. Raises ValueError for what is neither identity nor serial number."""
    text = text.strip()
    serial = _SERIAL.fullmatch(text)
    digits = serial[1].replace(":", "") if serial is not None else ""
    if digits:
        return f"serial:{int(digits, 16):x}"
    if spiffe.parse(text) is None:
        raise ValueError(f"{text[:128]!r} is neither a SPIFFE ID nor serial:HEX")
    return text


def entries(text: str) -> Iterator[str]:
    """The entries of a list. A line that is none is passed over."""
    for line in text.splitlines():
        try:
            yield entry(line.partition("#")[0])
        except ValueError:
            continue


def compile_revocations(config: ConfigMap) -> AuthorizationForm | None:
    """The list as a policy; None for an empty one."""
    listed = sorted(set(entries(config.data.get(FIELD, ""))))
    serials = tuple(one.partition(":")[2] for one in listed if one.startswith("serial:"))
    identities = tuple(
        StringMatch(exact=one.removeprefix("spiffe://")) for one in listed if not one.startswith("serial:")
    )
    if not listed:
        return None
    rule = AuthzRule(id=RULE, sources=(AuthzSource(principals=identities),))
    program = AuthzProgram(
        id=RULE, action=AuthzAction.DENY, rules=(rule,) if identities else (), revokes=serials
    )
    return AuthorizationForm(program=program, selector=selectors.EVERYTHING)
