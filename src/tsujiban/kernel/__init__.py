"""The kernel post: programs rendered as nftables, applied atomically; its log; conntrack."""
