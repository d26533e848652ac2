"""The shapes of every kind a user may write: frozen msgspec structs, one module per API group.

Field names are the public APIs' own, in snake case. Shapes only: what a value may be is
judged by `resources.validate`, what an absent one means by `resources.defaults`.
"""
