"""Block Storage API v3 over the local volumes: what clients need to make, list, grow and delete volumes."""
