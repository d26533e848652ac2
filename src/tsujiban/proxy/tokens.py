"""RequestAuthentication: which tokens Envoy verifies, and what a decision may look at of one that it has.

Envoy's `jwt_authn` refuses a request with a token that no rule verifies (signature, time, issuer,
audience), and passes one without a token on. All tokens of a request must be good: a second, forged one
may be the one that the application reads. So rules that look in different places all have their say,
and of rules that look in the same place one must accept. The claims come as dynamic metadata.

Keys are inline, or fetched from `jwksUri` by the pod's own proxy: over HTTPS with the system's roots, under
the pod's own egress policy. No keys, or none yet: the token is refused.
Source: Istio's API reference, RequestAuthentication; Envoy's documentation of `jwt_authn`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from msgspec import structs

from tsujiban.policy.program import JwtRule, StringMatch
from tsujiban.proxy import keys, names, paths
from tsujiban.proxy.decisions import Claim, Settled, Text, all_of, any_of, negate
from tsujiban.proxy.matchers import Json, typed
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site

_CONFIG = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_NOWHERE = "none"  # of no cluster: keys that are fetched there never come
_FETCH_TIMEOUT = "5s"
_ANY = "(?s).+"
_ANYTHING = StringMatch(present=True)
_WORDS = {"scope", "permission"}  # claims whose words are a list, whatever a rule says


def resource(site: Site, rules: tuple[JwtRule, ...]) -> Resource:
    """The filter's configuration. Without rules it lets everything pass."""
    name = site.name(names.JWT)
    config = typed(_CONFIG)
    if rules:
        config["providers"] = {
            _provider(index): _verifier(site, index, structs.replace(rule, forward=forward))
            for index, (rule, forward) in enumerate(zip(rules, _forwards(rules), strict=True))
        } | {
            _again(index): _verifier(site, index, structs.replace(rule, forward=forward))
            for index, rule, forward in _required_again(rules)
        }
        config["rules"] = [{"match": {"prefix": "/"}, "requires": _required(rules)}]
    return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config})


def _provider(index: int) -> str:
    return f"r{index}"


def _again(index: int) -> str:
    return f"q{index}"


def _required_again(rules: tuple[JwtRule, ...]) -> list[tuple[int, JwtRule, bool]]:
    """The rules whose token must be there, and whether it must then stay: for the next of them to see."""
    required = [(index, rule, set(_places(rule))) for index, rule in enumerate(rules) if rule.required]
    return [
        (index, rule, rule.forward or any(places & later for _, _, later in required[number:]))
        for number, (index, rule, places) in enumerate(required, start=1)
    ]


def _forwards(rules: tuple[JwtRule, ...]) -> list[bool]:
    """Whether a rule leaves the token that it has verified in the request. Envoy looks for each token anew:
    one that a required rule has to see must be there still."""
    asked = {place for rule in rules if rule.required for place in _places(rule)}
    return [rule.forward or not asked.isdisjoint(_places(rule)) for rule in rules]


def _verifier(site: Site, index: int, rule: JwtRule) -> Json:
    must = "required" if rule.required else ""
    provider: Json = {
        "issuer": rule.issuer,
        "audiences": list(rule.audiences),
        "forward": rule.forward,
        "payload_in_metadata": names.CLAIMS,
        "failed_status_in_metadata": f"{names.FAILED_TOKEN}{index:04} {must} {rule.id}",
        "claim_to_headers": [
            {"header_name": header, "claim_name": claim} for header, claim in rule.claims_to_headers
        ],
        "forward_payload_header": rule.payload_header,
    }
    if keys.usable(rule.jwks):
        provider["local_jwks"] = {"inline_string": rule.jwks}
    else:
        fetched = bool(rule.jwks_uri) and not rule.jwks
        provider["remote_jwks"] = {
            "http_uri": {
                "uri": rule.jwks_uri or "http://none",
                "cluster": site.name(names.jwks_cluster(rule.jwks_uri)) if fetched else _NOWHERE,
                "timeout": _FETCH_TIMEOUT,
            },
            "cache_duration": "300s",
        }
    if rule.from_headers:
        provider["from_headers"] = [
            {"name": name, "value_prefix": prefix} for name, prefix in rule.from_headers
        ]
    if rule.from_params:
        provider["from_params"] = list(rule.from_params)
    if rule.from_cookies:
        provider["from_cookies"] = list(rule.from_cookies)
    return provider


def _required(rules: tuple[JwtRule, ...]) -> Json:
    groups: list[Json] = []
    for group in _groups(rules):
        ways: list[Json] = [{"provider_name": _provider(index)} for index in group]
        groups.append({"requires_any": {"requirements": [*ways, {"allow_missing": {}}]}})
    groups += [{"provider_name": _again(index)} for index, _, _ in _required_again(rules)]
    return groups[0] if len(groups) == 1 else {"requires_all": {"requirements": groups}}


def _groups(rules: tuple[JwtRule, ...]) -> list[list[int]]:
    """Rules that look in a common place, directly or by way of others, together."""
    groups: list[tuple[set[str], list[int]]] = []
    for index, rule in enumerate(rules):
        places, members = set(_places(rule)), [index]
        for other in [one for one in groups if one[0] & places]:
            groups.remove(other)
            places |= other[0]
            members = [*other[1], *members]
        groups.append((places, sorted(members)))
    return [members for _, members in sorted(groups, key=lambda one: one[1])]


def _places(rule: JwtRule) -> Iterator[str]:
    for name, _ in rule.from_headers:
        yield f"header {name.lower()}"
    for name in rule.from_params:
        yield f"parameter {name}"
    for name in rule.from_cookies:
        yield f"cookie {name}"
    if _by_default(rule):
        yield from ("header authorization", "parameter access_token")


def headers(rules: tuple[JwtRule, ...]) -> Iterator[str]:
    """Every header that a token is looked for in, or in which the application is told of one, in lower case.
    Envoy puts a request's cookies together."""
    for rule in rules:
        yield from (name.lower() for name in (*dict(rule.claims_to_headers), rule.payload_header) if name)
        found = (place.partition(" ") for place in _places(rule))
        yield from (name for kind, _, name in found if kind == "header")


def _by_default(rule: JwtRule) -> bool:
    return not (rule.from_headers or rule.from_params or rule.from_cookies)


def key_clusters(site: Site, rules: tuple[JwtRule, ...]) -> list[Resource]:
    """Where keys are fetched from. An address that is none has no cluster: its tokens are refused."""
    found = {rule.jwks_uri for rule in rules if rule.jwks_uri and not rule.jwks}
    return [cluster for uri in sorted(found) if (cluster := _key_cluster(site, uri)) is not None]


def _key_cluster(site: Site, uri: str) -> Resource | None:
    try:
        parts = urlsplit(uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    name = site.name(names.jwks_cluster(uri))
    where = {"socket_address": {"address": parts.hostname, "port_value": port}}
    body: Json = {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": _FETCH_TIMEOUT,
        **site.fetches(),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": where}}]}],
        },
    }
    if parts.scheme == "https":
        validation: Json = {
            "system_root_certs": {},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": parts.hostname}}],
        }
        context = typed(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=parts.hostname,
            common_tls_context={"validation_context": validation},
        )
        body["transport_socket"] = {"name": "tls", "typed_config": context}
    return Resource(Kind.CLUSTER, name, body)


def carried(rules: tuple[JwtRule, ...]) -> Settled:
    """Whether a request holds a token where any of these rules looks for one."""
    terms: list[Settled] = []
    for rule in rules:
        headers, parameters = rule.from_headers, rule.from_params
        if _by_default(rule):
            headers, parameters = (("authorization", "Bearer "),), ("access_token",)
        for name, prefix in headers:
            start = r"(?i)" + re.escape(prefix.rstrip()) + r"\s.*" if prefix.strip() else ".+"
            terms.append(Text(header=name.lower(), regex=start))
        for name in parameters:
            terms.append(Text(header=":path", regex=rf"[^?]*\?(.*&)?{re.escape(name)}=.*"))
        for name in rule.from_cookies:
            terms.append(Text(header="cookie", regex=rf"(.*;)?\s*{re.escape(name)}=.*"))
    return any_of(terms)


def unverified(rules: tuple[JwtRule, ...]) -> Settled:
    """Whether a request holds a token and none has been verified. Envoy has refused such a request
    already; a decision says it again, so that no connection of theirs passes as plain bytes."""
    return all_of([carried(rules), negate(any_of([taken(rule) for rule in rules]))])


def taken(rule: JwtRule) -> Settled:
    """Whether a verified token is of the rule's issuer."""
    return _is(("iss",), StringMatch(exact=rule.issuer) if rule.issuer else _ANYTHING)


def claim(path: tuple[str, ...], values: tuple[StringMatch, ...], rules: tuple[JwtRule, ...]) -> Settled:
    """Whether a claim, any member of one that is a list, or any word of one that is a list of words
    to the rules of the token's issuer, matches any of the values."""
    plain, words = (any_of([_claim(path, value, kind) for value in values]) for kind in (False, True))
    if len(path) > 1:
        return plain
    if path[0] in _WORDS:
        return words
    splits = {rule.issuer for rule in rules if path[0] in rule.space_delimited}
    if not splits or "" in splits:
        return words if splits else plain
    theirs = any_of([_is(("iss",), StringMatch(exact=issuer)) for issuer in sorted(splits)])
    return any_of([all_of([theirs, words]), all_of([negate(theirs), plain])])


def _claim(path: tuple[str, ...], value: StringMatch, words: bool) -> Settled:
    whole = _is(path, value, listed=True)
    if not words:
        return whole
    return Claim(**{**structs.asdict(whole), "words": True})


def _is(path: tuple[str, ...], value: StringMatch, *, listed: bool = False) -> Claim:
    regex = _ANY if value.present else None
    if value.template is not None:
        regex = paths.template(value.template)
    return Claim(
        path=path, exact=value.exact, prefix=value.prefix, suffix=value.suffix, regex=regex, listed=listed
    )


def principal(values: tuple[StringMatch, ...]) -> Settled:
    """Whether issuer and subject of the token match any of the values. The last slash of a value parts
    what it asks of the one from what it asks of the other."""
    return any_of([_principal(value) for value in values])


def _principal(value: StringMatch) -> Settled:
    who, subject = _ANYTHING, _ANYTHING
    text = value.exact or value.prefix or value.suffix or ""
    before, slash, after = text.rpartition("/")
    if value.exact is not None:
        who, subject = (
            StringMatch(exact=before if slash else after),
            StringMatch(exact=after if slash else ""),
        )
    elif value.prefix is not None and slash:
        who, subject = StringMatch(exact=before), StringMatch(prefix=after) if after else _ANYTHING
    elif value.prefix is not None:
        who = StringMatch(prefix=text)
    elif value.suffix is not None and slash:
        who, subject = StringMatch(suffix=before) if before else _ANYTHING, StringMatch(exact=after)
    elif value.suffix is not None:
        subject = StringMatch(suffix=text)
    return all_of([_is(("iss",), who), _is(("sub",), subject)])
