"""How servers are shown, at every microversion.

`ServerView` decides once a request which columns it needs and which fields it shows; then a row of
`db.api.instance_list` becomes a dict with no more questions than the row has differences.  Documents that
many servers share (a flavor, a request) are parsed once a page.
"""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from minicompute import policy
from minicompute.api.openstack import common
from minicompute.api.openstack.compute.views import addresses
from minicompute.api.openstack.wsgi import Request
from minicompute.conf import CONF
from minicompute.db.api.instance_list import Around, Report
from minicompute.objects import VMState, from_primitive
from minicompute.objects.image_meta import KNOWN_PROPERTIES

Shown = dict[str, Any]
SHOW = 'os_compute_api:servers:show:'
ATTRIBUTE = 'OS-EXT-SRV-ATTR:'
ATTRIBUTES = 'os_compute_api:os-extended-server-attributes'

INDEX_COLUMNS = ('id', 'uuid', 'display_name')
_CORE = ('id', 'uuid', 'project_id', 'user_id', 'display_name', 'image_ref', 'flavorid', 'vm_state', 'task_state',
         'progress', 'host', 'metadata', 'network_info', 'created_at', 'updated_at', 'access_ip_v4', 'access_ip_v6',
         'auto_disk_config', 'fault')
_EXTENDED = ('availability_zone', 'config_drive', 'key_name', 'launched_at', 'terminated_at', 'power_state', 'node')
_ADMIN_2_3 = ('hostname', 'reservation_id', 'launch_index', 'kernel_id', 'ramdisk_id', 'root_device_name', 'user_data')
_SINCE = {'2.9': ('locked',), '2.19': ('display_description',), '2.47': ('flavor',), '2.63': ('trusted_certs',),
          '2.73': ('locked_reason',), '2.90': ('hostname',), '2.96': ('request_spec',), '2.98': ('image_properties',)}

WITH_PROGRESS = frozenset(('ACTIVE', 'BUILD', 'REBUILD', 'RESIZE', 'VERIFY_RESIZE', 'MIGRATING'))
WITH_FAULT = frozenset(('ERROR', 'DELETED'))


def index(req: Request, rows: Sequence[Any], limit: int) -> Shown:
    links = common.Links(req, 'servers')
    shown = [{'id': row.uuid, 'name': row.display_name, 'links': links.of_uuid(row.uuid)} for row in rows]
    return page(req, shown, 'servers', limit)


def page(req: Request, shown: list[Shown], path: str, limit: int) -> Shown:
    found: Shown = {'servers': shown}
    links = common.next_links(req, path, shown, shown[-1]['id'] if shown else None, limit)
    if links:
        found['servers_links'] = links
    return found


class ServerView:
    """`full` False is the short form that a change of a server is answered with below 2.75."""

    def __init__(self, req: Request, *, full: bool = True) -> None:
        self.context, self.full = req.context, full
        self.links = common.Links(req, 'servers')
        self.flavor_links = common.Links(req, 'flavors')
        self.image_links = _image_links(req)
        self.v = {version: req.since(version) for version in (
            '2.3', '2.9', '2.16', '2.19', '2.26', '2.47', '2.63', '2.71', '2.73', '2.75', '2.90', '2.96', '2.98',
            '2.100')}
        self._allowed: dict[tuple[str, str], dict[str, bool]] = {}
        self._parsed: dict[str, Any] = {}
        self._host_ids: dict[tuple[str, str], str] = {}
        self._images: dict[tuple[str, str | None], Shown] = {}
        self._flavors: dict[tuple[str, bool], Shown] = {}
        self._host_statuses: dict[str, str] = {}
        self._own = self._rights(str(req.context.project_id), str(req.context.user_id))

    @property
    def columns(self) -> list[str]:
        """Of `instance_list`."""
        wanted = dict.fromkeys(_CORE)
        if self.full:
            wanted.update(dict.fromkeys((*_EXTENDED, 'has_volumes')))
            if self.v['2.3'] and (self._own['attributes'] or self.context.is_admin):
                wanted.update(dict.fromkeys(_ADMIN_2_3))
        if self.v['2.26']:
            wanted['has_tags'] = None
        for version, names in _SINCE.items():
            if self.v[version]:
                wanted.update(dict.fromkeys(names))
        return list(wanted)

    @property
    def with_reports(self) -> bool:
        """May the status of a host be shown?"""
        return self.full and self.v['2.16'] and (self._own['status'] or self._own['unknown'])

    def _rights(self, project_id: str, user_id: str) -> dict[str, bool]:
        """What the caller may see of the servers of one owner: asked once for each."""
        key = (project_id, user_id)
        rights = self._allowed.get(key)
        if rights is None:
            target = {'project_id': project_id, 'user_id': user_id}
            rights = self._allowed[key] = {
                name: policy.allowed(self.context, rule, target) for name, rule in (
                    ('attributes', ATTRIBUTES), ('status', SHOW + 'host_status'),
                    ('unknown', SHOW + 'host_status:unknown-only'), ('specs', SHOW + 'flavor-extra-specs'))}
        return rights

    def _parse(self, text: str | None) -> Any:
        """A document as it stands in its column; the same text is the same object."""
        if text is None:
            return None
        found = self._parsed.get(text)
        if found is None:
            found = self._parsed[text] = orjson.loads(text)
        return found

    # -- one server -------------------------------------------------------------

    def show(self, row: Any, around: Around, *, grouped: bool = False) -> Shown:
        """`grouped`: the row tells its group, which lists do not show."""
        v, rights = self.v, self._rights(row.project_id, row.user_id)
        status = common.status(row.vm_state, row.task_state)
        shown: Shown = {
            'id': row.uuid, 'name': row.display_name, 'status': status, 'tenant_id': row.project_id,
            'user_id': row.user_id, 'metadata': self._parse(row.metadata) or {},
            'hostId': self._host_id(row.project_id, row.host), 'image': self._image(row),
            'flavor': self._flavor(row, rights), 'created': common.zulu_text(row.created_at),
            'updated': common.zulu_text(row.updated_at),
            'addresses': {} if row.vm_state == VMState.BUILDING else addresses.build(
                row.network_info, extended=self.full),
            'accessIPv4': row.access_ip_v4 or '', 'accessIPv6': row.access_ip_v6 or '',
            'links': self.links.of_uuid(row.uuid), 'OS-DCF:diskConfig': 'AUTO' if row.auto_disk_config else 'MANUAL'}
        if status in WITH_PROGRESS:
            shown['progress'] = row.progress or 0
        if status in WITH_FAULT and row.fault:
            shown['fault'] = self._fault(row)
        if self.full:
            self._extend(shown, row, rights, around)
        if v['2.9']:
            shown['locked'] = bool(row.locked)
        if v['2.19']:
            shown['description'] = row.display_description
        if v['2.26']:
            shown['tags'] = list(around.tags.get(row.uuid, ()))
        if v['2.63']:
            shown['trusted_image_certificates'] = self._parse(row.trusted_certs)
        if v['2.71'] and grouped:
            shown['server_groups'] = [row.group] if row.group else []
        if v['2.73']:
            shown['locked_reason'] = row.locked_reason
        if v['2.90']:
            shown['OS-EXT-SRV-ATTR:hostname'] = row.hostname
        if v['2.96']:
            self._requested(shown, row)
        return shown

    def _extend(self, shown: Shown, row: Any, rights: dict[str, bool], around: Around) -> None:
        shown.update({
            'OS-EXT-AZ:availability_zone': row.availability_zone or '',
            'config_drive': 'True' if row.config_drive else '', 'key_name': row.key_name,
            'OS-SRV-USG:launched_at': common.micro_text(row.launched_at),
            'OS-SRV-USG:terminated_at': common.micro_text(row.terminated_at),
            'OS-EXT-STS:task_state': row.task_state, 'OS-EXT-STS:vm_state': row.vm_state,
            'OS-EXT-STS:power_state': row.power_state,
            'os-extended-volumes:volumes_attached': [
                {'id': volume, 'delete_on_termination': dies} if self.v['2.3'] else {'id': volume}
                for volume, dies in around.volumes.get(row.uuid, ())]})
        if row.network_info and row.network_info != '[]':
            shown['security_groups'] = _groups(row.network_info)
        if rights['attributes']:
            self._attributes(shown, row)
        if self.v['2.16'] and (rights['status'] or rights['unknown']):
            host_status = self._host_status(row.host, around)
            if rights['status'] or host_status == 'UNKNOWN':
                shown['host_status'] = host_status

    def _attributes(self, shown: Shown, row: Any) -> None:
        shown['OS-EXT-SRV-ATTR:host'] = row.host
        shown['OS-EXT-SRV-ATTR:hypervisor_hostname'] = row.node
        shown['OS-EXT-SRV-ATTR:instance_name'] = 'instance-%08x' % row.id
        if self.v['2.3']:
            shown.update({
                'OS-EXT-SRV-ATTR:hostname': row.hostname, 'OS-EXT-SRV-ATTR:reservation_id': row.reservation_id,
                'OS-EXT-SRV-ATTR:launch_index': row.launch_index, 'OS-EXT-SRV-ATTR:kernel_id': row.kernel_id,
                'OS-EXT-SRV-ATTR:ramdisk_id': row.ramdisk_id, 'OS-EXT-SRV-ATTR:user_data': row.user_data,
                'OS-EXT-SRV-ATTR:root_device_name': row.root_device_name})

    def _groups(self, network_info: str) -> list[Shown]:
        """Of the cards, each name once. The local networks keep none, and have the one that all are in."""
        if 'security_groups' not in network_info:
            return [{'name': 'default'}]
        names = dict.fromkeys(group['name'] for card in self._parse(network_info)
                              for group in card['details'].get('security_groups', ()))
        return [{'name': name} for name in names]

    # -- its parts --------------------------------------------------------------

    def _host_id(self, project_id: str, host: str | None) -> str:
        """Tells whether two servers of a project share a host, and not which."""
        if not host:
            return ''
        key = (project_id, host)
        found = self._host_ids.get(key)
        if found is None:
            found = self._host_ids[key] = hashlib.sha224((project_id + host).encode()).hexdigest()
        return found

    def _host_status(self, host: str | None, around: Around) -> str:
        if not host:
            return ''
        found = self._host_statuses.get(host)
        if found is None:
            found = self._host_statuses[host] = host_status(around.reports.get(host))
        return found

    def _image(self, row: Any) -> Any:
        """Made once for all servers of one image."""
        if not row.image_ref:
            return ''
        key = (row.image_ref, row.image_properties if self.v['2.98'] else None)
        found = self._images.get(key)
        if found is None:
            found = self._images[key] = {'id': row.image_ref, 'links': self.image_links.bookmark(row.image_ref)}
            if self.v['2.98']:
                kept = self._parse(row.image_properties) or {}
                found['properties'] = {name: kept[name] for name in kept if name in KNOWN_PROPERTIES}
        return found

    def _flavor(self, row: Any, rights: dict[str, bool]) -> Shown:
        if not self.v['2.47']:
            return {'id': row.flavorid, 'links': self.flavor_links.bookmark(row.flavorid)}
        key = (row.flavor, rights['specs'])
        shown = self._flavors.get(key)
        if shown is None:
            flavor = self._parse(row.flavor)
            shown = self._flavors[key] = {
                'vcpus': flavor['vcpus'], 'ram': flavor['memory_mb'], 'disk': flavor['root_gb'],
                'ephemeral': flavor['ephemeral_gb'], 'swap': flavor['swap'], 'original_name': flavor['name']}
            if rights['specs']:
                shown['extra_specs'] = flavor['extra_specs']
        return shown

    def _fault(self, row: Any) -> Shown:
        fault = self._parse(row.fault)
        shown = {'code': fault.get('code', 500), 'message': fault.get('message', ''),
                 'created': fault.get('created') or common.zulu_text(row.updated_at)}
        if fault.get('details') and (self.context.is_admin or shown['code'] != 500):
            shown['details'] = fault['details']
        return shown

    def _requested(self, shown: Shown, row: Any) -> None:
        spec = self._parse(row.request_spec) or {}
        shown['pinned_availability_zone'] = spec.get('availability_zone')
        if self.v['2.100']:
            hints = from_primitive(spec.get('scheduler_hints') or {})
            shown['scheduler_hints'] = {name: value if isinstance(value, list) else [value]
                                        for name, value in hints.items()}


class _ImageLinks(common.Links):
    """Bookmarks of images lead to the image service when its address is configured."""

    def bookmark(self, identity: object) -> list[dict[str, str]]:
        return [{'rel': 'bookmark', 'href': f'{CONF.api.glance_link_prefix.rstrip("/")}/images/{identity}'}]


def _image_links(req: Request) -> common.Links:
    return _ImageLinks(req, 'images') if CONF.api.glance_link_prefix else common.Links(req, 'images')


def host_status(report: Report | None) -> str:
    """UP, DOWN (said by an operator), UNKNOWN (it does not report), MAINTENANCE (disabled)."""
    if report is not None and report.forced_down:
        return 'DOWN'
    if report is None or report.age is None or report.age > CONF.service_down_time:
        return 'UNKNOWN'
    return 'MAINTENANCE' if report.disabled else 'UP'


def _groups(network_info: str) -> list[dict[str, str]]:
    """Of each card in turn. A card whose record says nothing of groups is in its project's `default`."""
    if '"security_groups"' not in network_info:
        return [{'name': 'default'}] * network_info.count('"mac_address"')
    return [{'name': name} for card in orjson.loads(network_info)
            for name in card['details'].get('security_groups', ['default'])]
