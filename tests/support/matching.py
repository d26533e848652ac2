"""Envoy's generic matchers, walked as Envoy walks them: for tests of what is rendered without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tsujiban.policy.addresses import contains, span

Json = dict[str, Any]
Inputs = Callable[[str], str]  # the value of an input, by the input's name


def reached(matcher: Json, inputs: Inputs) -> Json | None:
    """The action that a matcher leads to; None when it leads to none."""
    if "matcher_list" in matcher:
        for step in matcher["matcher_list"]["matchers"]:
            if _holds(step["predicate"], inputs):
                found = _follow(step["on_match"], inputs)
                if found is not None:  # what finds nothing inside goes on behind
                    return found
        return _follow(matcher.get("on_no_match"), inputs)
    if "matcher_tree" not in matcher:
        return _follow(matcher.get("on_no_match"), inputs)
    tree = matcher["matcher_tree"]
    value = inputs(tree["input"]["name"])
    if "exact_match_map" in tree:
        found = tree["exact_match_map"]["map"].get(value)
    elif "prefix_match_map" in tree:
        begun = {
            key: target for key, target in tree["prefix_match_map"]["map"].items() if value.startswith(key)
        }
        found = begun[max(begun, key=len)] if begun else None
    else:
        found = _longest(tree["custom_match"]["typed_config"]["range_matchers"], value)
    return _follow(matcher.get("on_no_match") if found is None else found, inputs)


def _follow(on_match: Json | None, inputs: Inputs) -> Json | None:
    if on_match is None:
        return None
    if "action" in on_match:
        config: Json = on_match["action"]["typed_config"]
        return config
    return reached(on_match["matcher"], inputs)


def _longest(ranges: list[Json], address: str) -> Json | None:
    best: tuple[int, Json] | None = None
    for one in ranges:
        for net in one["ranges"]:
            prefix = f"{net['address_prefix']}/{net['prefix_len']}"
            _, first, last = span(prefix)
            if contains(prefix, address) and (best is None or last - first < best[0]):
                best = (last - first, one["on_match"])
    return None if best is None else best[1]


def _holds(predicate: Json, inputs: Inputs) -> bool:
    if "not_matcher" in predicate:
        return not _holds(predicate["not_matcher"], inputs)
    for kind, every in (("and_matcher", all), ("or_matcher", any)):
        if kind in predicate:
            return every(_holds(one, inputs) for one in predicate[kind]["predicate"])
    single = predicate["single_predicate"]
    if "custom_match" in single:  # of metadata
        noted = single["custom_match"]["typed_config"]["value"]["string_match"]["exact"]
        return bool(inputs(single["input"]["name"]) == noted)
    value, wanted = inputs(single["input"]["name"]), single["value_match"]
    if "safe_regex" in wanted:
        return re.fullmatch(wanted["safe_regex"]["regex"], value) is not None
    if "exact" in wanted:
        return value == str(wanted["exact"])
    return value.startswith(wanted["prefix"]) if "prefix" in wanted else value.endswith(wanted["suffix"])
