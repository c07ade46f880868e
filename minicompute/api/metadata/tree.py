"""Paths of the metadata service: EC2's tree of values, and OpenStack's of documents."""
from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable

from minicompute.virt import metadata
from minicompute.virt.metadata import InstanceMetadata

TEXT, JSON, BYTES = 'text/plain; charset=UTF-8', 'application/json', 'application/octet-stream'
PASSWORD = 'password'
#: in which order a version lists its files
_ORDER = ('meta_data.json', 'user_data', PASSWORD, 'vendor_data.json', 'network_data.json', 'vendor_data2.json')


@dataclasses.dataclass(slots=True, frozen=True)
class Found:
    content: bytes
    content_type: str = TEXT


def parts_of(path: str) -> list[str]:
    return [part for part in posixpath.normpath('/' + path).split('/') if part]


def root() -> Found:
    return _lines(metadata.EC2_VERSIONS)


def is_password(path: str) -> bool:
    """The one path that a guest may write to."""
    parts = parts_of(path)
    return (len(parts) == 3 and parts[0] == 'openstack' and parts[2] == PASSWORD and
            parts[1] in metadata.OPENSTACK_VERSIONS and parts[1] >= metadata.GRIZZLY)


def find(md: InstanceMetadata, path: str) -> Found | None:
    """None: there is no such path."""
    parts = parts_of(path)
    if parts[:1] == ['openstack']:
        return _openstack(md, parts[1:])
    return _ec2(md, parts[1:] if parts[:1] == ['ec2'] else parts)


def _openstack(md: InstanceMetadata, parts: list[str]) -> Found | None:
    if not parts:
        return _lines(metadata.OPENSTACK_VERSIONS)
    if parts[0] not in metadata.OPENSTACK_VERSIONS:
        return None
    files = metadata.version_files(md, parts[0])
    if len(parts) == 1:
        has = [*files, PASSWORD] if parts[0] >= metadata.GRIZZLY else [*files]
        return _lines(sorted(has, key=_ORDER.index))
    content = files.get('/'.join(parts[1:]))
    if content is None:
        return None
    return Found(content, JSON if parts[1].endswith('.json') else BYTES)


def _ec2(md: InstanceMetadata, parts: list[str]) -> Found | None:
    if not parts:
        return root()
    if parts[0] not in metadata.EC2_VERSIONS:
        return None
    if len(parts) == 1:
        return _lines(['meta-data/', 'user-data'] if md.user_data is not None else ['meta-data/'])
    if parts[1:] == ['user-data']:
        return None if md.user_data is None else Found(md.user_data, BYTES)
    if parts[1] != 'meta-data':
        return None
    answers = metadata.ec2_paths(md, parts[0])
    name = '/'.join(parts[2:])
    text = answers.get(name, answers.get(f'{name}/'))
    return None if text is None else Found(text.encode())


def _lines(names: Iterable[str]) -> Found:
    return Found('\n'.join(names).encode())
