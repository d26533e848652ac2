"""The node process: one node's kernel post, proxies, identities and pods."""
