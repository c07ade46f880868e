"""What a driver may do besides building and removing domains, by subject. A driver that cannot says so: 501."""
