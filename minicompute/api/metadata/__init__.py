"""What a guest asks at 169.254.169.254."""
