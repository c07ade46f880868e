"""Why a rule says yes or no: its check string taken apart, each part with what it found.

Asked of the enforcer itself, part by part, so that it cannot tell anything else than what the API decides.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from oslo_policy import _checks as checks
from oslo_policy.policy import Enforcer

DEEPEST = 20


@dataclasses.dataclass(slots=True)
class Part:
    """A check and its verdict; `why` says in words what was compared."""

    check: str
    passed: bool
    why: str = ''
    parts: list[Part] = dataclasses.field(default_factory=list)

    def lines(self, depth: int = 0) -> Iterator[str]:
        yield f'{"  " * depth}{"yes" if self.passed else "no ":3} {self.check}{": " if self.why else ""}{self.why}'
        for part in self.parts:
            yield from part.lines(depth + 1)

    def blame(self) -> Iterator[Part]:
        """The smallest parts that made it a no; none when it is a yes."""
        if self.passed:
            return
        guilty = [part for part in self.parts if not part.passed]
        if not guilty:
            yield self
        for part in guilty:
            yield from part.blame()


def explain(enforcer: Enforcer, rule: str, target: Mapping[str, Any], credentials: Mapping[str, Any]) -> Part:
    """Raises KeyError for a rule that is not known."""
    asked = _Question(enforcer, dict(target), dict(credentials))
    found = asked.part(enforcer.rules[rule], name=rule)
    wanted = getattr(enforcer.registered_rules.get(rule), 'scope_types', None)
    scope = 'system' if credentials.get('system_scope') else 'domain' if credentials.get('domain_id') else 'project'
    if wanted and scope not in wanted:
        wrong = Part(f'scope {" or ".join(wanted)}', False, f'the token is for a {scope}')
        return Part(rule, False, 'a rule is asked only with a token of its scope', [wrong, found])
    return found


class _Question:
    def __init__(self, enforcer: Enforcer, target: dict[str, Any], credentials: dict[str, Any]) -> None:
        self.enforcer, self.target, self.credentials = enforcer, target, credentials

    def part(self, check: Any, name: str | None = None, depth: int = 0) -> Part:
        passed = bool(check(self.target, self.credentials, self.enforcer, name))
        if depth > DEEPEST:
            return Part(str(check), passed, 'too deep to follow')
        if name is not None and not isinstance(check, (checks.AndCheck, checks.OrCheck, checks.NotCheck)):
            return Part(name, passed, '', [self.part(check, depth=depth + 1)])
        if isinstance(check, (checks.AndCheck, checks.OrCheck)):
            word = 'all of' if isinstance(check, checks.AndCheck) else 'one of'
            return Part(name or word, passed, word if name else '',
                        [self.part(part, depth=depth + 1) for part in check.rules])
        if isinstance(check, checks.NotCheck):
            return Part(name or 'not', passed, 'not' if name else '', [self.part(check.rule, depth=depth + 1)])
        if isinstance(check, checks.RuleCheck):
            return self._named(check, passed, depth)
        return Part(str(check), passed, self._why(check))

    def _named(self, check: checks.RuleCheck, passed: bool, depth: int) -> Part:
        named = self.enforcer.rules.get(check.match)
        if named is None:
            return Part(str(check), passed, 'there is no such rule')
        inner = self.part(named, name=check.match, depth=depth + 1)
        return Part(str(check), passed, inner.why, inner.parts)

    def _why(self, check: Any) -> str:
        if isinstance(check, checks.TrueCheck):
            return 'everybody'
        if isinstance(check, checks.FalseCheck):
            return 'nobody'
        if isinstance(check, checks.RoleCheck):
            roles = self.credentials.get('roles') or []
            return f'the caller has the roles {", ".join(roles)}' if roles else 'the caller has no roles'
        try:
            wanted = check.match % self.target
        except KeyError as missing:
            return f'the target has no {missing.args[0]}'
        except (TypeError, ValueError):
            return 'the check string is malformed'
        return f"the caller's {check.kind} is {self.credentials.get(check.kind)}, wanted is {wanted}"
