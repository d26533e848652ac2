"""A label selector in the form of a query (`labelSelector=`): who holds one can ask a server by it."""

from __future__ import annotations

from typing import Any


def as_query(selector: dict[str, Any]) -> str:
    """`app=web,tier in (a,b)`. Without matchLabels and matchExpressions it is a map of labels, as Services
    and ReplicationControllers have it. Source: Kubernetes documentation, "Labels and Selectors"."""
    plain = not selector.keys() & {"matchLabels", "matchExpressions"}
    labels = selector if plain else selector.get("matchLabels") or {}
    terms = [f"{key}={value}" for key, value in sorted(labels.items())]
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key"), expression.get("operator")
        values = ",".join(expression.get("values") or ())
        if operator in ("In", "NotIn"):
            terms.append(f"{key} {operator.lower()} ({values})")
        else:
            terms.append(str(key) if operator == "Exists" else f"!{key}")
    return ",".join(terms)
