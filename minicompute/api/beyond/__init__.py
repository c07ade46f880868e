"""What stands beside Nova's contract: paths under /minicompute/v1/ and /healthcheck."""
