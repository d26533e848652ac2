"""Envoy's external authorization, answered by the evaluator, for proxies that are not ours."""
