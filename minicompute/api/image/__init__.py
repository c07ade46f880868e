"""Image API v2 over the image backend: what clients need to list, make, upload, change and delete images."""
