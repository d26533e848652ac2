"""The control-plane process: API, reconcilers, node streams."""
