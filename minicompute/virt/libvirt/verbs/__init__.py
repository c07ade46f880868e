"""The verbs of the driver, by subject, as in `virt/interface`."""
