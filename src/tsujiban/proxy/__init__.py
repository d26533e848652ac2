"""The proxy post: programs rendered as Envoy configuration, and the servers Envoy talks to."""
