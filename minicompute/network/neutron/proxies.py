"""Floating addresses of Neutron, for older versions of the Compute API: as the user."""
from __future__ import annotations

from collections.abc import Sequence

from oslo_utils import uuidutils

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.network.neutron.client import Client, Document
from minicompute.network.proxies import FloatingAddress, Proxies
from minicompute.objects import Instance
from minicompute.service_auth import path


class NeutronProxies(Proxies):

    def pools(self, context: RequestContext) -> list[str]:
        found = Client(context).every('networks', **{'router:external': True, 'fields': ['id', 'name']})
        return [one['name'] or one['id'] for one in found]

    def addresses(self, context: RequestContext) -> list[FloatingAddress]:
        client = Client(context)
        try:
            return _shown(client, client.every('floatingips', tenant_id=context.project_id))
        except exception.NotFound:      # a Neutron without routers
            return []

    def address(self, context: RequestContext, identity: str) -> FloatingAddress:
        client = Client(context)
        try:
            return _shown(client, [client.get(path('floatingips', identity))['floatingip']])[0]
        except exception.NotFound:
            return super().address(context, identity)

    def find_address(self, context: RequestContext, address: str) -> FloatingAddress:
        client = Client(context)
        found = client.every('floatingips', floating_ip_address=address)
        if len(found) > 1:
            raise exception.Conflict(f'Multiple floating IPs are found for address {address}.')
        return _shown(client, found)[0] if found else super().find_address(context, address)

    def allocate(self, context: RequestContext, pool: str | None) -> FloatingAddress:
        client, wanted = Client(context), pool or CONF.neutron.default_floating_pool
        key = 'id' if uuidutils.is_uuid_like(wanted) else 'name'
        found = client.every('networks', **{'router:external': True, 'fields': 'id', key: wanted})
        if not found:
            return super().allocate(context, pool)
        if len(found) > 1:
            raise exception.Invalid(f"Multiple floating IP pools matches found for name '{wanted[:64]}'")
        try:
            made = client.create('/floatingips', {'floatingip': {'floating_network_id': found[0]['id']}})['floatingip']
        except exception.NoMoreFixedIps as error:
            raise exception.NotFound(error.message) from None
        return _shown(client, [made])[0]

    def release(self, context: RequestContext, identity: str) -> None:
        self.address(context, identity)
        Client(context).delete(path('floatingips', identity))

    def associate(self, context: RequestContext, instance: Instance, address: str, fixed: str | None) -> None:
        found = self.find_address(context, address)
        card, chosen = next((card, ip.address) for card in instance.network_info for ip in card.fixed_ips
                            if (ip.version == 4 if fixed is None else ip.address == fixed))
        Client(context).update(f'/floatingips/{found.id}', {
            'floatingip': {'port_id': card.id, 'fixed_ip_address': chosen}})

    def disassociate(self, context: RequestContext, found: FloatingAddress) -> None:
        Client(context).update(f'/floatingips/{found.id}', {'floatingip': {'port_id': None}})


def _shown(client: Client, found: Sequence[Document]) -> list[FloatingAddress]:
    names = {one['id']: one['name'] or one['id'] for one in client.among(
        'networks', 'id', (one['floating_network_id'] for one in found), fields=['id', 'name'])}
    owners = {one['id']: one.get('device_id') for one in client.among(
        'ports', 'id', (one['port_id'] for one in found if one.get('port_id')), fields=['id', 'device_id'])}
    return [FloatingAddress(
        id=one['id'], address=one['floating_ip_address'], fixed_address=one.get('fixed_ip_address'),
        pool=str(names.get(one['floating_network_id'], one['floating_network_id'])),
        instance_uuid=_server(owners.get(one.get('port_id')))) for one in found]


def _server(device: str | None) -> str | None:
    return device if device and uuidutils.is_uuid_like(device) else None
