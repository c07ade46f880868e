"""The body of POST /servers -> `compute.api.request.CreateRequest`."""
from __future__ import annotations

import uuid
from typing import Any

from minicompute import exception, policy
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import naming
from minicompute.compute.api.request import CreateRequest

CREATE = 'os_compute_api:servers:create'
REQUESTED_DESTINATION = 'compute:servers:create:requested_destination'
Body = dict[str, Any]


def parse(req: Request, body: Body) -> CreateRequest:
    """Also asks the policy for what the body uses. Raises Invalid, PolicyNotAuthorized."""
    server, context = body['server'], req.context
    least, most = _counts(server)
    policy.authorize(context, CREATE)
    # What follows is in Nova's order, so that of several faults the same one is told.
    trusted_certs = server.get('trusted_image_certificates')
    if trusted_certs:
        policy.authorize(context, f'{CREATE}:trusted_certs')
    zone, force_host, force_node = _zone(server.get('availability_zone'))
    if force_host or force_node:
        policy.authorize(context, f'{CREATE}:forced_host')
    host, node = server.get('host'), server.get('hypervisor_hostname')
    if host or node:
        policy.authorize(context, REQUESTED_DESTINATION)
        if force_host or force_node:
            raise exception.Invalid('availability_zone: it names a host or a node, and so does host or '
                                    'hypervisor_hostname; only one of these ways may be taken.')
    devices = _devices(server)
    if devices:
        policy.authorize(context, f'{CREATE}:attach_volume')
    image_id = _image(server)
    networks = _networks(server)
    if networks and networks != [{'mode': 'none'}]:
        policy.authorize(context, f'{CREATE}:attach_network')
    return CreateRequest(
        name=server['name'].strip(), flavorid=_last_segment(server['flavorRef']), image_id=image_id,
        least=least, most=most, description=_description(req, server), hostname=server.get('hostname'),
        metadata=server.get('metadata') or {}, tags=server.get('tags') or [],
        key_name=_stripped(server.get('key_name')), user_data=server.get('user_data'),
        config_drive=types.is_true(server.get('config_drive', False)),
        auto_disk_config=disk_config(server), access_ip_v4=server.get('accessIPv4') or None,
        access_ip_v6=server.get('accessIPv6') or None, admin_password=server.get('adminPass') or _password(req),
        files={item['path']: item['contents'] for item in server.get('personality') or ()},
        trusted_certs=trusted_certs, networks=networks, security_groups=_security_groups(server),
        block_devices=devices, zone=zone, force_host=force_host, force_node=force_node, host=host, node=node,
        hints=body.get('os:scheduler_hints') or body.get('OS-SCH-HNT:scheduler_hints') or {},
        zero_disk_allowed=policy.allowed(context, f'{CREATE}:zero_disk_flavor'), multiattach=req.since('2.60'))


def _password(req: Request) -> str:
    """Of a request that may come again, with its Idempotency-Key, the same each time."""
    ticket = req.context.ticket
    return naming.password(None if ticket is None else ticket.secret('adminPass'))


def disk_config(server: Body) -> bool | None:
    said = server.get('OS-DCF:diskConfig')
    return None if said is None else said == 'AUTO'


def _description(req: Request, server: Body) -> str | None:
    """Below 2.19 it is the name: there a rename is all that a user could say of a server."""
    return server.get('description') if req.since('2.19') else server['name'].strip()


def _stripped(text: str | None) -> str | None:
    return text.strip() if text is not None else None


def _counts(server: Body) -> tuple[int, int]:
    least = int(server.get('min_count', 1))
    most = int(server.get('max_count', least))
    if least > most:
        raise exception.Invalid('min_count must be <= max_count')
    return least, most


def _last_segment(reference: str | int) -> str:
    """An id, or the id at the end of a URL."""
    return str(reference).rstrip('/').rpartition('/')[2].partition('?')[0]


def _image(server: Body) -> str | None:
    """None where the first disk comes from a block device."""
    image = server.get('imageRef')
    if image:
        return str(image)
    if server.get('block_device_mapping') or server.get('block_device_mapping_v2'):
        return None
    raise exception.Invalid('Missing imageRef attribute' if image is None else 'Invalid imageRef provided.')


def _zone(text: str | None) -> tuple[str | None, str | None, str | None]:
    """'zone:host:node' -> its parts; host and node bypass the scheduler."""
    if text is None:
        return None, None, None
    parts = text.strip().split(':')
    if len(parts) > 3:
        raise exception.Invalid(f'Invalid input for field/attribute availability_zone. Value: {text[:200]}. '
                                'Its form is ZONE, ZONE:HOST, ZONE:HOST:NODE or ZONE::NODE.')
    zone, host, node = (*parts, '', '')[:3]
    return zone or None, host or None, node or None


def _networks(server: Body) -> list[dict[str, Any]]:
    """In the form of `network.base`: the first network card first."""
    networks = server.get('networks')
    if isinstance(networks, str):
        return [{'mode': networks}]
    return [_network(item, place) for place, item in enumerate(networks or ())]


def _network(item: Body, place: int) -> dict[str, Any]:
    where = f'networks[{place}]'
    port, network, fixed_ip = item.get('port'), item.get('uuid'), item.get('fixed_ip')
    if port and fixed_ip:
        raise exception.Invalid(f"{where}: Specified Fixed IP '{fixed_ip}' cannot be used with port '{port}': "
                                'the two cannot be specified together.')
    if not port and not network:
        raise exception.Invalid(f"Bad networks format: {where} has neither 'uuid' nor 'port'")
    named = {'port': port} if port else {'id': _network_id(str(network), where)}
    more = {name: item[name] for name in ('fixed_ip', 'tag') if item.get(name)}
    return {**named, **more}


def _network_id(text: str, where: str) -> str:
    """Below 2.37 the schema takes any text, and an id may have the prefix of a bridge."""
    found = text.removeprefix('br-')
    try:
        uuid.UUID(found)
    except ValueError:
        raise exception.Invalid(f'Bad networks format: network uuid of {where} is not in proper format '
                                f'({text[:64]})') from None
    return found


def _security_groups(server: Body) -> list[str]:
    """Names or ids."""
    return list(dict.fromkeys(item['name'].strip() for item in server.get('security_groups') or ()
                              if item.get('name')))


def _devices(server: Body) -> list[dict[str, Any]]:
    old, new = server.get('block_device_mapping'), server.get('block_device_mapping_v2')
    if old and new:
        raise exception.Invalid('Using different block_device_mapping syntaxes is not allowed in the same request.')
    return [_translated(item, place) for place, item in enumerate(old or ())] or list(new or ())


def _translated(item: Body, place: int) -> dict[str, Any]:
    """An entry of the first form names a volume or a snapshot, or a virtual disk (ephemeral0, swap)."""
    virtual = item.get('virtual_name') or ''
    kept = ('device_name', 'delete_on_termination', 'volume_size', 'no_device')
    common: dict[str, Any] = {name: item[name] for name in kept if name in item}
    if virtual == 'swap' or virtual.startswith('ephemeral'):
        return {**common, 'source_type': 'blank', 'destination_type': 'local',
                **({'guest_format': 'swap'} if virtual == 'swap' else {})}
    for source in ('volume', 'snapshot'):
        if item.get(f'{source}_id'):
            return {**common, 'source_type': source, 'uuid': item[f'{source}_id'], 'destination_type': 'volume'}
    if item.get('no_device'):
        return {**common, 'source_type': 'blank'}
    raise exception.InvalidBDM(reason=f'block_device_mapping[{place}] names no volume and no snapshot')
