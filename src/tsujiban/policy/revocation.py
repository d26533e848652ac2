"""The list of revoked certificates (`resources.revoked`) as a policy.

It becomes a DENY that selects every workload, so that it is evaluated, explained, distributed and enforced as
any policy is; serial numbers are seen by proxies alone, and the nodes' own certificates by the controller.
"""

from __future__ import annotations

from tsujiban.policy.definitions import AuthorizationForm
from tsujiban.policy.population import Key
from tsujiban.policy.program import AuthzAction, AuthzProgram, AuthzRule, AuthzSource, StringMatch
from tsujiban.resources import revoked, selectors
from tsujiban.resources.kinds.core import ConfigMap
from tsujiban.resources.names import SPIFFE_SCHEME

CONFIG_KEY: Key = ("ConfigMap", revoked.NAMESPACE, revoked.NAME)
RULE = "_mesh/revoked"
SIGNED = (
    "crl"  # key of the ConfigMap, as a controller gives it to the policy graph: the serial numbers, signed
)


def compile_revocations(config: ConfigMap) -> AuthorizationForm | None:
    """The list as a policy; None for an empty one."""
    listed = revoked.read(config.data.get(revoked.FIELD, ""))
    if not listed.identities and not listed.serials:
        return None
    identities = tuple(
        StringMatch(exact=one.removeprefix(SPIFFE_SCHEME)) for one in sorted(listed.identities)
    )
    rule = AuthzRule(id=RULE, sources=(AuthzSource(principals=identities),))
    program = AuthzProgram(
        id=RULE,
        action=AuthzAction.DENY,
        rules=(rule,) if identities else (),
        revokes=tuple(sorted(listed.serials)),
        crl=config.data.get(SIGNED, ""),
    )
    return AuthorizationForm(program=program, selector=selectors.EVERYTHING)
