"""Addresses, links, routes by BGP, and names."""
