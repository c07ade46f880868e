"""Thousands of computes in one process, each a full citizen of the cloud. See docs/scale.md and docs/adr/."""
