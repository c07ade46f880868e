"""All flows. Importing this package registers them."""
from minicompute.conductor.flows import build, delete, power

__all__ = ['build', 'delete', 'power']
