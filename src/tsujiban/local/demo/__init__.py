"""The bank, from an empty machine to an attack that fails: a demonstration on real parts only."""
