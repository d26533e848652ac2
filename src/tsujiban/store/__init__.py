"""Where resources live: list, watch, compare-and-swap."""
