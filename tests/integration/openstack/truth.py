"""What each service of a real OpenStack has of a server: where its ports are bound, who has its volumes, what is left.

Read from the services themselves, as the service user `nova`, and from minicompute's own records; nothing is believed
that the API of minicompute says.
"""
from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

#: the states of an action that has ended
ENDED = "('done', 'failed')"


class Truth:

    def __init__(self, home: pathlib.Path, admin: Any) -> None:
        """`home`: the state of tools/openstack_lab.sh; `admin`: openstacksdk's connection of the administrator."""
        import openstack
        self.admin = admin
        self.ports = int((home / 'ports').read_text())
        self.nova = openstack.connect(
            auth_url=f'http://127.0.0.1:{self.ports + 50}/v3', username='nova', project_name='service',
            password=(home / 'password.nova').read_text(), user_domain_id='default', project_domain_id='default',
            region_name='RegionOne')
        self._engine = sa.create_engine(f'mysql+pymysql://root@127.0.0.1:{self.ports + 6}/minicompute',
                                        poolclass=sa.NullPool)

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self._engine.connect() as conn:
            return list(conn.execute(sa.text(query), values))

    # -- where its things are -------------------------------------------------------------

    def bindings(self, server: str) -> dict[str, list[tuple[str, str]]]:
        """-> {port: [(host, ACTIVE or INACTIVE)]} as Neutron has them"""
        return {port['id']: sorted((one['host'], one['status']) for one in self.nova.network.get(
            f'/ports/{port["id"]}/bindings').json()['bindings']) for port in self.neutron_ports(server)}

    def neutron_ports(self, server: str) -> list[dict[str, Any]]:
        return list(self.nova.network.get('/ports', params={'device_id': server}).json()['ports'])

    def attachments(self, server: str) -> list[dict[str, Any]]:
        """As Cinder has them: volume_id, status, and the host of those that are connected."""
        found = self.nova.block_storage.get('/attachments/detail', params={'all_tenants': 1, 'instance_id': server},
                                            microversion='3.44').json()['attachments']
        return [{'volume': one['volume_id'], 'status': one['status'], 'host': self._host_of(one)} for one in found]

    def _host_of(self, attachment: dict[str, Any]) -> str | None:
        volume = self.nova.block_storage.get(f'/volumes/{attachment["volume_id"]}').json()['volume']
        return next((one['host_name'] for one in volume['attachments'] if one['attachment_id'] == attachment['id']),
                    None)

    def claims(self, server: str) -> list[str]:
        """-> the hosts on which room is kept for it"""
        return sorted(row[0] for row in self.rows(
            'SELECT n.host FROM allocations a JOIN compute_nodes n ON n.id = a.node_id WHERE a.instance_uuid = :server',
            server=server))

    def images(self, server: str) -> list[tuple[str, str]]:
        """-> [(id, status)] of its snapshots"""
        found = self.admin.image.get('/images', params={'instance_uuid': server}).json()['images']
        return sorted((one['id'], one['status']) for one in found)

    # -- what goes on ---------------------------------------------------------------------

    def going_on(self, servers: Sequence[str]) -> list[tuple[str, str, str, str]]:
        """-> [(server, flow, state, step)] of actions that have not ended"""
        found = self.rows(
            f'SELECT instance_uuid, flow, state, step FROM instance_actions WHERE state NOT IN {ENDED}')
        return sorted((str(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in found if row[0] in set(servers))

    def left(self, server: str) -> dict[str, Any]:
        """Of a server that is gone: empty when nothing of it is anywhere."""
        found = {'ports': [port['id'] for port in self.neutron_ports(server)], 'attachments': self.attachments(server),
                 'claims': self.claims(server), 'actions': self.going_on([server]),
                 'images': [one for one in self.images(server) if one[1] != 'active']}
        return {name: value for name, value in found.items() if value}
