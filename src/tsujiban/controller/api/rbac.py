"""What a rule of RBAC allows, and what set of rules holds another. Pure.

Source: Kubernetes documentation, "Using RBAC Authorization", also for privilege escalation: who
writes a role must hold every single right in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.resources.kinds.rbac import PolicyRule

ALL = "*"
MAX_SINGLE_RIGHTS = 20_000  # of one role whose writer does not hold everything: bounds the comparison


class TooManyRights(ValueError):
    """A role lists more single rights than are compared."""


def allows(rule: PolicyRule, wanted: Attributes) -> bool:
    """Whether the rule allows it."""
    if not _has(rule.verbs, wanted.verb):
        return False
    if wanted.path:
        return any(_url(pattern, wanted.path) for pattern in rule.non_resource_urls)
    return (
        _has(rule.api_groups, wanted.group)
        and _resource(rule.resources, wanted.resource, wanted.subresource)
        and (not rule.resource_names or (wanted.name != "" and wanted.name in rule.resource_names))
    )


def missing(held: Sequence[PolicyRule], asked: Sequence[PolicyRule]) -> list[PolicyRule]:
    """The single rights of `asked` that no rule of `held` gives.

    Raises:
        TooManyRights: `asked` lists more than `MAX_SINGLE_RIGHTS` that no one rule holds together.
    """
    lacking: list[PolicyRule] = []
    left = MAX_SINGLE_RIGHTS
    for rule in asked:
        if any(_covers(own, rule) for own in held):
            continue
        for single in _singles(rule):
            left -= 1
            if left < 0:
                raise TooManyRights(
                    f"more than {MAX_SINGLE_RIGHTS} combinations of verb, group, resource and name"
                )
            if not any(_covers(own, single) for own in held):
                lacking.append(single)
    return lacking


def compact(rules: Iterable[PolicyRule]) -> str:
    """Rules in Kubernetes' short form, for messages."""
    return ", ".join(_compact(rule) for rule in rules)


def _compact(rule: PolicyRule) -> str:
    parts = [
        f"{title}:[{', '.join(_quoted(value) for value in values)}]"
        for title, values in (
            ("APIGroups", rule.api_groups),
            ("Resources", rule.resources),
            ("ResourceNames", rule.resource_names),
            ("NonResourceURLs", rule.non_resource_urls),
            ("Verbs", rule.verbs),
        )
        if values
    ]
    return "{" + ", ".join(parts) + "}"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()  # escapes what a terminal would take for a command


def _has(values: Sequence[str], value: str) -> bool:
    return ALL in values or value in values


def _resource(rules: Sequence[str], resource: str, subresource: str) -> bool:
    if ALL in rules:
        return True
    if not subresource:
        return resource in rules
    return f"{resource}/{subresource}" in rules or f"*/{subresource}" in rules


def _url(pattern: str, path: str) -> bool:
    if pattern.endswith(ALL):
        return path.startswith(pattern[:-1])
    return pattern == path


def _covers(own: PolicyRule, asked: PolicyRule) -> bool:
    """Whether one rule gives all of another."""
    if not _covers_all(own.verbs, asked.verbs):
        return False
    if asked.non_resource_urls:
        return all(
            any(_url(pattern, url) for pattern in own.non_resource_urls) for url in asked.non_resource_urls
        )
    return (
        bool(own.resources)
        and _covers_all(own.api_groups, asked.api_groups)
        and all(_covers_resource(own.resources, resource) for resource in asked.resources)
        and (
            not own.resource_names
            or (bool(asked.resource_names) and set(asked.resource_names) <= set(own.resource_names))
        )
    )


def _covers_all(own: Sequence[str], asked: Sequence[str]) -> bool:
    return ALL in own or set(asked) <= set(own)


def _covers_resource(own: Sequence[str], asked: str) -> bool:
    if ALL in own or asked in own:
        return True
    _, slash, subresource = asked.partition("/")
    return bool(slash) and f"*/{subresource}" in own


def _singles(rule: PolicyRule) -> Iterator[PolicyRule]:
    if rule.non_resource_urls:
        for verb, url in product(rule.verbs, rule.non_resource_urls):
            yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))
        return
    for verb, group, resource in product(rule.verbs, rule.api_groups, rule.resources):
        for name in rule.resource_names or ("",):
            yield PolicyRule(
                verbs=(verb,),
                api_groups=(group,),
                resources=(resource,),
                resource_names=(name,) if name else (),
            )
