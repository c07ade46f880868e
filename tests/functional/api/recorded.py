"""What a real Nova 34.0.0 answered, request by request, and how an answer is boiled down to be compared.

`recorded.jsonl` was written beside a Nova (SQLite, no other daemon, Keystone's check of projects left out): a line is
[section, who, method, path, version, body, code, shape].
"""
from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

FILE = pathlib.Path(__file__).with_name('recorded.jsonl')
NODES = {'c1': 'c1c1c1c1-1111-4111-8111-111111111111', 'c2': 'c2c2c2c2-1111-4111-8111-111111111111'}


class Step(NamedTuple):
    """`who`: admin, alice (member of demo), bob (its reader) or eve (member of another project)."""

    section: str
    who: str
    method: str
    path: str
    version: str
    body: Any
    code: int
    shape: Any


def steps(section: str) -> list[Step]:
    return [step for step in (Step(*json.loads(line)) for line in FILE.read_text().splitlines())
            if step.section == section]


def shape(value: Any) -> Any:
    """Keys and types; numbers are one type, a list is its first item; a fault is its name alone, because Nova's
    sentences are its own."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(inner := next(iter(value.values())), dict) and {'code', 'message'} <= set(
                inner):
            return next(iter(value))
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return 'null' if value is None else 'boolean' if isinstance(value, bool) else 'text' if isinstance(
        value, str) else 'number'
