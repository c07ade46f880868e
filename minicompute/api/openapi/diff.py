"""What changed between two documents, as a reader of release notes wants it."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from minicompute.api.openapi.fields import Shape, shapes
from minicompute.api.openapi.parts import Json

PARTS = ('query', 'request', 'answer')


@dataclasses.dataclass(frozen=True)
class Change:
    """One line of a difference. `sign`: + came, - went, ~ changed. `part`: query, request, answer or code; '' for
    the operation itself."""

    operation: str
    sign: str
    part: str = ''
    field: str = ''
    before: str = ''
    after: str = ''

    @property
    def text(self) -> str:
        """'answer + flavor.extra_specs: object'; '' where the operation itself came or went"""
        if not self.part:
            return ''
        what = f'{self.part} {self.sign} {self.field}'
        if self.sign == '~':
            return f'{what}: {_turned(self.before, self.after)}'
        return f'{what}: {self.after or self.before}' if self.after or self.before else what

#: what is longer is told by what came and went of it
READABLE = 80


def _turned(before: str, after: str) -> str:
    if max(len(before), len(after)) <= READABLE:
        return f'{before} -> {after}'
    old, new = before.split(), after.split()
    gone = [word for word in old if word not in new]
    came = [word for word in new if word not in old]
    told = [f'{text} {" ".join(some)}' for text, some in (('without', gone), ('with', came)) if some]
    return ', '.join(told) or f'{before} -> {after}'


def changes(before: Json, after: Json) -> list[Change]:
    """By operation. An operation that came or went is one line, without its fields."""
    old, new = shapes(before), shapes(after)
    found: list[Change] = []
    for name in sorted({*old, *new}):
        if name not in old:
            found.append(Change(name, '+'))
        elif name not in new:
            found.append(Change(name, '-'))
        else:
            found += _inside(name, old[name], new[name])
    return found


def _inside(name: str, old: Shape, new: Shape) -> Iterator[Change]:
    for part in PARTS:
        was, now = getattr(old, part), getattr(new, part)
        for field in sorted({*was, *now}):
            if was.get(field) == now.get(field):
                continue
            sign = '+' if field not in was else '-' if field not in now else '~'
            yield Change(name, sign, part, field, was.get(field, ''), now.get(field, ''))
    for sign, codes in (('-', old.codes - new.codes), ('+', new.codes - old.codes)):
        for code in sorted(codes):
            yield Change(name, sign, 'code', code)
