"""The one place that names our version."""

__version__ = '0.1.0'
VENDOR = 'minicompute'
