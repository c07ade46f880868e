"""What one entry of `select_destinations` asks for, in the form that filters and weighers read."""
from __future__ import annotations

import dataclasses
import re
from typing import Any

import orjson

from minicompute import exception
from minicompute.db.api.allocations import Group
from minicompute.objects import RequestSpec, to_primitive
from minicompute.scheduler.host_table import CLASSES, Need

_TRAIT = re.compile(r'^trait\w*:(.+)$')


@dataclasses.dataclass(slots=True)
class GroupState:
    """A server group and who holds room where; the picks of this batch are added as they are made."""

    rule: Group
    holders: list[tuple[str, str]]

    @property
    def policy(self) -> str:
        return self.rule.policy

    def counts(self, but: str) -> dict[str, int]:
        """host -> members on it, without server `but` (one that moves does not bind itself)."""
        servers: dict[str, set[str]] = {}
        for host, uuid in self.holders:
            if uuid != but:
                servers.setdefault(host, set()).add(uuid)
        return {host: len(uuids) for host, uuids in servers.items()}


@dataclasses.dataclass(slots=True)
class Request:
    """`placing` is the server that is being placed just now; `copies` how many must fit on one host."""

    key: Any
    spec: RequestSpec
    uuids: list[str]
    consumers: dict[str, str]
    dry_run: bool
    need: Need
    unknown_classes: tuple[str, ...]
    required_traits: frozenset[str]
    forbidden_traits: frozenset[str]
    shape: bytes
    extra_specs: dict[str, str]
    group: GroupState | None = None
    homes: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    placing: str = ''
    copies: int = 1
    #: a dry run that wants to know what would have to change if it finds none
    explain: bool = False
    #: whether its ranking must not be kept; the picker finds out once
    live: bool | None = None

    def consumer(self, uuid: str) -> str:
        return self.consumers.get(uuid, uuid)

    def hint(self, name: str) -> list[str]:
        """A scheduler hint as a list: users give one value or several."""
        value = self.spec.scheduler_hints.get(name)
        if value is None:
            return []
        return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]


def parse(entry: dict[str, Any], like: Request | None = None) -> Request:
    """An entry of the RPC call; `like` is one of the same spec. Raises InvalidInput."""
    made = dataclasses.replace(
        like or _parse_spec(entry['spec']), key=entry.get('key'), uuids=list(entry['instance_uuids']),
        consumers=entry.get('consumers') or {}, dry_run=bool(entry.get('dry_run')),
        explain=bool(entry.get('explain')))
    if not made.uuids or len({made.consumer(uuid) for uuid in made.uuids}) < len(made.uuids):
        raise exception.InvalidInput(reason='a request names each of its servers once, and one at least')
    return made


def _parse_spec(spec: RequestSpec) -> Request:
    """All that the requests of one spec have in common."""
    if spec.flavor is None:
        raise exception.InvalidInput(reason='a request without a flavor cannot be scheduled')
    extra_specs = {str(k): str(v) for k, v in (spec.flavor.extra_specs or {}).items()}
    need, unknown = _resources(spec, extra_specs)
    traits = {**_traits(extra_specs), **_traits(spec.image_properties)}
    return Request(
        key=None, spec=spec, uuids=[], consumers={}, dry_run=True, need=need, unknown_classes=unknown,
        extra_specs=extra_specs,
        required_traits=frozenset(name for name, word in traits.items() if word == 'required'),
        forbidden_traits=frozenset(name for name, word in traits.items() if word == 'forbidden'),
        shape=_shape(spec, need, extra_specs))


def _resources(spec: RequestSpec, extra_specs: dict[str, str]) -> tuple[Need, tuple[str, ...]]:
    """The flavor's amounts, or what `resources:CLASS` says instead -> (need, classes that nobody has)."""
    amounts, unknown = spec.resources(), []
    for key, value in extra_specs.items():
        scope, _, name = key.partition(':')
        if scope != 'resources':
            continue
        if not value.isdecimal():   # isdigit is true of exponents, too, which are no numbers
            raise exception.InvalidInput(reason=f'extra spec {key} is not a number')
        if name in amounts:
            amounts[name] = int(value)
        elif int(value):
            unknown.append(name)
    return (amounts[CLASSES[0]], amounts[CLASSES[1]], amounts[CLASSES[2]]), tuple(sorted(unknown))


def _traits(said: dict[str, Any]) -> dict[str, str]:
    return {found[1]: str(value) for key, value in said.items() if (found := _TRAIT.match(key))}


def _shape(spec: RequestSpec, need: Need, extra_specs: dict[str, str]) -> bytes:
    """Equal for requests to which every host looks the same."""
    return orjson.dumps(to_primitive(
        [need, extra_specs, spec.image_id, spec.image_properties, spec.availability_zone, spec.force_host,
         spec.force_node, spec.requested_host, spec.requested_node, sorted(spec.ignore_hosts),
         spec.scheduler_hints, spec.group.uuid if spec.group else None]),
        option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
