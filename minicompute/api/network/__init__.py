"""Network API v2.0 over the local networks: what clients need to make and find networks."""
