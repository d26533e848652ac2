"""Set algebra over everything that policy can distinguish: what `connectivity` and `diff` stand on."""
