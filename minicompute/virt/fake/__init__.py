"""A hypervisor of names. See base.py."""
from minicompute.virt.fake.driver import FakeDriver

__all__ = ['FakeDriver']
