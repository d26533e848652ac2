"""The store behind a Kubernetes API server: what such a server can promise, and no more."""
