"""minicompute-manage policy: what the rules are, and what they say to whom. Reads files only, no database."""
from __future__ import annotations

import argparse
from typing import Any

from oslo_config import cfg
from oslo_policy import generator

from minicompute import exception, policy
from minicompute.api import auth
from minicompute.context import RequestContext
from minicompute.policies import explain as parts

#: exit status of `check` when the answer is no
DENIED = 1


def sample(args: argparse.Namespace) -> None:
    generator.generate_sample(['--namespace', 'minicompute'], conf=cfg.ConfigOpts())


def rules(args: argparse.Namespace) -> list[list[str]]:
    """Rule, its check string as it stands now, where that comes from, and the requests that ask for it."""
    policy.preload()
    enforcer = policy.get_enforcer()
    found = []
    for name in sorted(enforcer.rules):
        default = enforcer.registered_rules.get(name)
        if args.pattern and args.pattern not in name:
            continue
        old = getattr(getattr(default, 'deprecated_rule', None), 'name', None)
        source = ('file' if name in enforcer.file_rules else f'file, as {old}' if old in enforcer.file_rules
                  else 'default')
        operations = [f'{one["method"]} {one["path"]}' for one in getattr(default, 'operations', ())]
        found.append([name, str(enforcer.rules[name]), source, ', '.join(operations)])
    return found


def check(args: argparse.Namespace) -> None:
    """Yes or no, and the parts of the rule that said no."""
    found = _explained(args)
    print(f'{"yes" if found.passed else "no"}: {args.rule}')
    for part in found.blame():
        print(f'  {part.check}{": " if part.why else ""}{part.why}')
    if not found.passed:
        raise SystemExit(DENIED)


def explain(args: argparse.Namespace) -> None:
    """The whole rule, part by part."""
    for line in _explained(args).lines():
        print(line)


def _explained(args: argparse.Namespace) -> parts.Part:
    policy.preload()
    enforcer = policy.get_enforcer()
    if args.rule not in enforcer.rules:
        raise exception.NotFound(f'There is no rule {args.rule}; policy list has them all.')
    roles = [role for role in args.user_roles.split(',') if role]
    context = RequestContext(
        user_id=args.user, project_id=None if args.system_scope else args.project,
        roles=roles if args.exact_roles else auth.expand_roles(roles),
        system_scope='all' if args.system_scope else None, overwrite=False)
    context.is_admin = policy.is_admin(context)
    target = {'project_id': args.target_project or args.project, 'user_id': args.target_user or args.user}
    return parts.explain(enforcer, args.rule, target, policy.credentials(context))


WHO: list[tuple[str, dict[str, Any]]] = [
    ('rule', {'help': 'Name of the rule, from policy list.'}),
    ('--user-roles', {'default': '', 'metavar': 'ROLE,...', 'help': "The caller's roles, and those that they imply."}),
    ('--exact-roles', {'action': 'store_true', 'help': 'The roles named and none that they imply.'}),
    ('--project', {'default': 'p1', 'help': "The project of the caller's token (p1)."}),
    ('--user', {'default': 'u1', 'help': 'The caller (u1).'}),
    ('--system-scope', {'action': 'store_true', 'help': 'The token is for the system and not for a project.'}),
    ('--target-project', {'help': "The project of what is asked for; the caller's by default."}),
    ('--target-user', {'help': "The user of what is asked for; the caller by default."}),
]
