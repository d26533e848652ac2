"""Tsujiban: a zero-trust network for microservices. One policy, one identity, two posts."""

__version__ = "0.1.0"
