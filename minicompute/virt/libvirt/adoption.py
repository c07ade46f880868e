"""Domains that Nova defined, of servers whose records were taken over (`minicompute-manage import nova`).

A guest is adopted while it runs: nothing of it changes but what its domain says of its owner. With its next start it
is defined anew from the record, as any other. What the start would not find again (a disk of another name or format)
is found out before, and then the domain stays Nova's: nothing here starts it, and the log says why.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterable
from xml.etree import ElementTree

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance
from minicompute.virt import images
from minicompute.virt.libvirt import disks, layout
from minicompute.virt.libvirt.config import metadata
from minicompute.virt.libvirt.config.base import Element, element
from minicompute.virt.libvirt.guest import Guest
from minicompute.virt.libvirt.layout import Disk

LOG = logging.getLogger(__name__)

#: how Nova's metadata is named, of all its versions
_NOVA = '{http://openstack.org/xmlns/libvirt/nova/'


def is_novas(tree: Element) -> bool:
    """Nova's and nobody's else: what is ours, or another daemon's of ours, says so beside it."""
    children = [str(child.tag) for child in tree.findall('metadata/*')]
    return (any(tag.startswith(_NOVA) for tag in children)
            and f'{{{metadata.NAMESPACE}}}instance' not in children)


def check(guest: Guest) -> None:
    """Raises Conflict for a domain that is Nova's still."""
    if is_novas(guest.tree(inactive=True)):
        raise exception.Conflict(f'The domain of instance {guest.uuid} was made by Nova and could not be taken over: '
                                 'the log of the compute has the reason.')


def adopt(guest: Guest, instance: Instance, plan: Iterable[Disk]) -> bool:
    """-> whether the domain is ours from now on."""
    tree = guest.tree(inactive=True)
    if not is_novas(tree):
        return False
    reason = _obstacle(tree, instance, list(plan))
    if reason is not None:
        LOG.error('Instance %s is not taken over from Nova: %s', instance.uuid, reason)
        return False
    _keep_base(instance.uuid)
    disks.own(instance.uuid)
    guest.say(_words(instance))     # last: until then it is tried again at each start
    LOG.warning('Instance %s is taken over from Nova', instance.uuid)
    return True


def _obstacle(tree: Element, instance: Instance, plan: list[Disk]) -> str | None:
    name = tree.findtext('name')
    if name != instance.name:
        return f'its domain is named {name}, and would be {instance.name}: [DEFAULT] instance_name_template is not ours'
    owner = disks.owner(instance.uuid)
    if owner not in (None, CONF.host):
        return f'its disks are those of {owner}'
    if not os.path.isdir(layout.directory(instance.uuid)):
        return f'{layout.directory(instance.uuid)} is not there: is [DEFAULT] instances_path that of Nova?'
    recorded = formats(instance.uuid)
    for disk in plan:
        found = os.path.basename(disk.path)
        if not os.path.exists(disk.path):
            return f'it has no {found}: [libvirt] images_type of Nova makes other disks'
        if recorded.get(found, disk.format) != disk.format:
            return f'its {found} is {recorded[found]}, and would be taken for {disk.format}'
    return None


def formats(uuid: str) -> dict[str, str]:
    """{name of a file: format} as Nova wrote it beside the disks."""
    try:
        with open(os.path.join(layout.directory(uuid), 'disk.info'), encoding='utf-8') as reader:
            said = json.load(reader)
    except (OSError, ValueError):
        return {}
    return {os.path.basename(path): str(kind) for path, kind in said.items()} if isinstance(said, dict) else {}


def _keep_base(uuid: str) -> None:
    """A second name of the base image, as each of our servers has: so nobody takes it for unused."""
    path = os.path.join(layout.directory(uuid), 'disk')
    if not os.path.exists(path):
        return
    base = images.info(path, 'qcow2', in_use=True).backing_file
    if not base:
        return
    directory = os.path.realpath(os.path.join(CONF.instances_path, '_base'))
    if os.path.dirname(os.path.realpath(base)) != directory:
        raise exception.Conflict(f'the disk of instance {uuid} lies on {base}, which is no base image')
    try:
        os.link(base, os.path.join(layout.directory(uuid), 'base'))
    except FileExistsError:
        pass


def _words(instance: Instance) -> str:
    """What our domains say of themselves. Without a digest: the next start defines it anew."""
    said = metadata.Metadata(host=CONF.host, name=instance.display_name or '', project=instance.project_id,
                             user=instance.user_id, flavor=instance.flavor.name if instance.flavor else '',
                             image=instance.image_ref)
    fields = [element(name, text=getattr(said, name)) for name in said.__dataclass_fields__]
    return ElementTree.tostring(element('instance', *fields), encoding='unicode')

