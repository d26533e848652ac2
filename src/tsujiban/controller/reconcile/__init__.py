"""The reconcilers: each looks at the world for one object and says what should be written.

Pure functions `plan(world, ref) -> list[Action]`; the loop carries the actions out with
compare-and-swap and calls again when the world has changed.
"""
