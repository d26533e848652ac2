"""Endpoints and policies in, ordered programs and verdicts out. Pure: no I/O, no clock."""
