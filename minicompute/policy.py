"""The one choke point of authorisation.

    policy.authorize(context, 'os_compute_api:servers:show', {'project_id': instance.project_id})

oslo.policy decides; its decision is remembered where it can only depend on the caller's roles and on
whether the target's project and user are the caller's own, which is so for all defaults.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from oslo_policy import _checks as checks
from oslo_policy import policy as oslo_policy

from minicompute import exception, policies
from minicompute.conf import CONF
from minicompute.context import RequestContext

LOG = logging.getLogger(__name__)

RELOAD = 10.0        # seconds between two looks at the policy file
REMEMBERED = 50_000  # decisions

_lock = threading.Lock()
_enforcer: oslo_policy.Enforcer | None = None
_plain: dict[str, bool] = {}
_decisions: dict[tuple[Any, ...], bool] = {}
_next_look = 0.0


def preload() -> None:
    """Before the API forks. Raises ConfigurationError when the policy file cannot be read."""
    try:
        get_enforcer()
    except (ValueError, OSError, cfg.Error) as error:
        raise exception.ConfigurationError(
            reason=f'{CONF.oslo_policy.policy_file}: {" ".join(str(error).split())}') from error


def get_enforcer() -> oslo_policy.Enforcer:
    """Also what oslopolicy-checker and its sisters load."""
    global _enforcer
    if _enforcer is None:
        with _lock:
            if _enforcer is None:
                made = oslo_policy.Enforcer(CONF)
                made.suppress_default_change_warnings = True
                made.register_defaults(policies.list_rules())
                made.load_rules()
                _enforcer = made
    return _enforcer


def reset() -> None:
    """Forget rules and decisions (tests, SIGHUP)."""
    global _enforcer, _next_look
    with _lock:
        _enforcer, _next_look = None, 0.0
        _plain.clear()
        _decisions.clear()


def authorize(context: RequestContext, rule: str, target: Mapping[str, Any] | None = None) -> None:
    """Raises PolicyNotAuthorized. No target: the caller's own project and user."""
    if not allowed(context, rule, target):
        LOG.debug('Policy denied %s to user %s of project %s', rule, context.user_id, context.project_id)
        raise exception.PolicyNotAuthorized(action=rule)


def allowed(context: RequestContext, rule: str, target: Mapping[str, Any] | None = None) -> bool:
    enforcer = get_enforcer()
    _look_at_file(enforcer)
    if target is None:
        target = {'project_id': context.project_id, 'user_id': context.user_id}
    plain = _plain.get(rule)
    if plain is None:
        plain = _plain[rule] = _is_plain(enforcer, rule)
    if not plain:
        return _decide(enforcer, context, rule, target)
    key = (rule, tuple(context.roles), tuple(context.service_roles), context.system_scope, context.is_admin,
           _same(target, 'project_id', context.project_id), _same(target, 'user_id', context.user_id))
    decision = _decisions.get(key)
    if decision is None:
        decision = _decide(enforcer, context, rule, target)
        if len(_decisions) < REMEMBERED:
            _decisions[key] = decision
    return decision


def is_admin(context: RequestContext) -> bool:
    """By the rule context_is_admin, so that an operator may give another role the name."""
    return allowed(context, 'context_is_admin')


def _same(target: Mapping[str, Any], name: str, own: str | None) -> bool:
    """As oslo.policy compares `project_id:%(project_id)s`, so that a remembered decision is its own."""
    return name in target and str(target[name]) == str(own)


def _decide(enforcer: oslo_policy.Enforcer, context: RequestContext, rule: str, target: Mapping[str, Any]) -> bool:
    try:
        return bool(enforcer.authorize(rule, dict(target), credentials(context)))
    except oslo_policy.InvalidScope:
        return False


def credentials(context: RequestContext) -> dict[str, Any]:
    """What check strings may ask of the caller."""
    return {**context.to_policy_values(), 'service_roles': context.service_roles, 'is_admin': context.is_admin}


def _look_at_file(enforcer: oslo_policy.Enforcer) -> None:
    """Take in a changed policy file within `RELOAD` seconds."""
    global _next_look
    now = time.monotonic()
    if now < _next_look:
        return
    _next_look = now + RELOAD
    before = dict(enforcer.rules)
    enforcer.load_rules()
    if enforcer.rules != before:
        _plain.clear()
        _decisions.clear()


def _is_plain(enforcer: oslo_policy.Enforcer, rule: str) -> bool:
    """Does the decision depend on nothing but roles and own/foreign project and user?"""
    found = enforcer.rules.get(rule)
    return found is not None and _plain_check(enforcer, found, depth=0)


def _plain_check(enforcer: oslo_policy.Enforcer, check: Any, depth: int) -> bool:
    if depth > 20:
        return False
    if isinstance(check, (checks.TrueCheck, checks.FalseCheck)):
        return True
    if isinstance(check, (checks.AndCheck, checks.OrCheck)):
        return all(_plain_check(enforcer, part, depth + 1) for part in check.rules)
    if isinstance(check, checks.NotCheck):
        return _plain_check(enforcer, check.rule, depth + 1)
    if isinstance(check, checks.RuleCheck):
        named = enforcer.rules.get(check.match)
        return named is not None and _plain_check(enforcer, named, depth + 1)
    if isinstance(check, checks.RoleCheck):
        return '%' not in check.match
    if isinstance(check, checks.GenericCheck):
        return (check.kind, check.match) in (
            ('project_id', '%(project_id)s'), ('user_id', '%(user_id)s')) or (
            check.kind in ('service_roles', 'system_scope', 'is_admin') and '%' not in check.match)
    return False
