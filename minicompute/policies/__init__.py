"""Every rule, by area. `oslopolicy-sample-generator --namespace minicompute` reads `list_rules`."""
from __future__ import annotations

from oslo_policy.policy import RuleDefault

from minicompute.policies import base, beyond, flavors, hosts, proxies, server_actions, server_parts, servers, users

MODULES = (servers, server_actions, server_parts, flavors, hosts, users, proxies, beyond)


def list_rules() -> list[RuleDefault]:
    return [*base.WORDS, *(rule for module in MODULES for rule in module.RULES)]
