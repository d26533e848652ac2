"""The API server: Kubernetes paths over the store, and Tsujiban's own beside them."""
