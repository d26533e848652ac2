"""The store in an etcd cluster, which several controllers can share."""
