"""The `minicompute` command: novaclient's verbs over cliff and openstacksdk."""
