"""The certification authority, SVIDs, and how a node proves who it is."""
