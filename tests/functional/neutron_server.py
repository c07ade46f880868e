"""A Neutron of our own making, written after its API: a real HTTP server on loopback that keeps networks, ports and
bindings in memory, has agents on hosts, and breaks as a test says."""
from __future__ import annotations

import ipaddress
import itertools
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.neighbour import Answer, Neighbour, forget

Document = dict[str, Any]
HOST, VIF_TYPE, DETAILS = 'binding:host_id', 'binding:vif_type', 'binding:vif_details'
NAMES = {'port': 'ports', 'network': 'networks', 'subnet': 'subnets', 'floatingip': 'floatingips',
         'security_group': 'security_groups', 'security_group_rule': 'security_group_rules'}


class Refused(Exception):
    def __init__(self, status: int, kind: str, message: str = '') -> None:
        super().__init__(message or kind)
        self.status, self.kind = status, kind


class Fault:
    """What happens to requests of `method` whose path matches: `answer` a status, 'drop' (the connection ends), or a
    number of seconds as a float; `after`: all is done first, and then it happens; `times` None: until it is removed."""

    def __init__(self, method: str, path: str, answer: Any, *, after: bool = False, times: int | None = 1) -> None:
        self.method, self.path, self.answer, self.after, self.times = method, re.compile(path), answer, after, times

    def hits(self, method: str, path: str) -> bool:
        if self.method not in ('*', method) or not self.path.search(path) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Neutron:
    """`plugs_after`: so many looks at a port that is bound after which it is ACTIVE; None: `plug` says when.
    `heard(event, port)` is called as the real one notifies Nova."""

    def __init__(self, *hosts: str) -> None:
        self.agents = {host: 'br-int' for host in hosts}
        self.tables: dict[str, dict[str, Document]] = {name: {} for name in NAMES.values()}
        self.bindings: dict[str, dict[str, Document]] = {}
        self.quota, self.extensions = -1, ['dns-integration', 'router', 'security-group', 'binding-extended']
        self.topology: str | None = None
        self.faults: list[Fault] = []
        self.plugs_after: int | None = 1
        self.heard: Callable[[str, Document], None] = lambda event, port: None
        #: how many of a list are given at once
        self.page: int | None = None
        self._looks: dict[str, int] = {}
        self._numbers = itertools.count(10)
        self._lock = threading.RLock()
        self.server = Neighbour(self.answer)

    def configure(self, conf: Any) -> None:
        from minicompute.network.neutron import client
        client.forget_extensions()
        conf.set_override('network_backend', 'neutron')
        self.server.configure(conf, 'neutron')

    def close(self, conf: Any) -> None:
        self.server.stop()
        forget(conf)

    # -- what tests make and look at

    def network(self, project: str = 'demo', *, shared: bool = False, external: bool = False, subnet: bool = True,
                **more: Any) -> str:
        """-> id"""
        one = {'id': str(uuid.uuid4()), 'name': 'net', 'tenant_id': project, 'project_id': project, 'shared': shared,
               'router:external': external, 'mtu': 1450, 'subnets': [], 'admin_state_up': True, **more}
        self.tables['networks'][one['id']] = one
        if subnet:
            number = next(self._numbers)
            made = {'id': str(uuid.uuid4()), 'network_id': one['id'], 'cidr': f'10.{number}.0.0/24', 'ip_version': 4,
                    'gateway_ip': f'10.{number}.0.1', 'dns_nameservers': ['9.9.9.9'], 'enable_dhcp': True,
                    'host_routes': [], 'ipv6_address_mode': None}
            self.tables['subnets'][made['id']] = made
            one['subnets'].append(made['id'])
        return str(one['id'])

    def port(self, network: str, project: str = 'demo', **more: Any) -> str:
        """One that a user makes. -> id"""
        with self._lock:
            return str(self._make_port({'network_id': network, 'tenant_id': project, **more})['id'])

    def group(self, name: str, project: str = 'demo') -> str:
        one = {'id': str(uuid.uuid4()), 'name': name, 'tenant_id': project, 'project_id': project, 'description': '',
               'security_group_rules': []}
        self.tables['security_groups'][one['id']] = one
        return str(one['id'])

    def floating(self, port: str, address: str) -> None:
        fixed = self.ports[port]['fixed_ips'][0]['ip_address']
        one = {'id': str(uuid.uuid4()), 'port_id': port, 'fixed_ip_address': fixed, 'floating_ip_address': address,
               'tenant_id': 'demo'}
        self.tables['floatingips'][one['id']] = one

    @property
    def ports(self) -> dict[str, Document]:
        return self.tables['ports']

    def held(self) -> dict[str, str]:
        """{port: the server that has it}"""
        with self._lock:
            return {port['id']: port['device_id'] for port in self.ports.values() if port['device_id']}

    def plug(self, port_id: str) -> None:
        """The agent has done its part."""
        with self._lock:
            self.ports[port_id]['status'] = 'ACTIVE'
        self.heard('network-vif-plugged', self.ports[port_id])

    def asked(self, method: str, path: str = '') -> int:
        """How often."""
        return sum(1 for seen in self.server.seen if seen[0] == method and path in seen[1])

    # -- HTTP

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Answer:
        fault = next((one for one in self.faults if one.hits(method, path)), None)
        if fault is not None and not fault.after:
            broken = _broken(fault.answer)
            if broken is not None:
                return broken
        try:
            with self._lock:
                answer = self._work(method, path, headers, json.loads(body) if body else {})
        except Refused as error:
            answer = error.status, _refusal(error.kind, str(error))
        if fault is not None and fault.after:
            return _broken(fault.answer) or answer
        return answer

    def _work(self, method: str, path: str, headers: Any, body: Document) -> Answer:
        url = urlsplit(path)
        asked = parse_qs(url.query, keep_blank_values=True)
        parts = url.path.strip('/').split('/')[1:]      # below v2.0
        if parts[0] == 'extensions':
            return 200, {'extensions': [{'alias': one} for one in self.extensions]}
        if parts[0] == 'quotas':
            return 200, {'quota': {'port': self.quota}}
        if parts[0] == 'auto-allocated-topology':
            return self._topology(parts[1], 'dry-run' in asked.get('fields', ()))
        if parts[0] == 'ports' and len(parts) > 2:
            return self._binding(method, parts, body)
        table = parts[0].replace('-', '_')
        if len(parts) == 1:
            return self._list(table, asked) if method == 'GET' else self._create(table, body)
        return self._one(method, table, parts[1], headers, body)

    def _list(self, table: str, asked: dict[str, list[str]]) -> Answer:
        fields, marker = asked.pop('fields', []), asked.pop('marker', [''])[0]
        asked.pop('limit', None)
        found = [one for one in self.tables[table].values() if all(_matches(one, key, asked[key]) for key in asked)]
        if table == 'ports':
            for one in found:
                self._look(one)
        said: Document = {}
        if self.page is not None:
            found = sorted((one for one in found if one['id'] > marker), key=lambda one: str(one['id']))
            if len(found) > self.page:
                found = found[:self.page]
                here = f'{self.server.url}/v2.0/{table}?limit={self.page}&marker='
                said = {f'{table}_links': [{'rel': 'previous', 'href': f'{here}0&page_reverse=True'},
                                           {'rel': 'next', 'href': f"{here}{found[-1]['id']}"}]}
        return 200, {**said, table: [{name: one.get(name) for name in fields} if fields else one for one in found]}

    def _one(self, method: str, table: str, identity: str, headers: Any, body: Document) -> Answer:
        one = self.tables[table].get(identity)
        single = next(name for name, many in NAMES.items() if many == table)
        if one is None:
            raise Refused(404, f'{single.title()}NotFound', f'{single.title()} {identity} could not be found.')
        if method == 'GET':
            return 200, {single: one}
        if method == 'DELETE':
            del self.tables[table][identity]
            if table == 'ports':
                self.bindings.pop(identity, None)
            return 204, None
        if (match := headers.get('If-Match')) and match != f"revision_number={one['revision_number']}":
            raise Refused(412, 'RevisionNumberConstraintFailed')
        if table == 'ports':
            self._change_port(one, body['port'])
        else:
            one.update(body[single])
            if single == 'floatingip' and one['port_id'] is None:
                one['fixed_ip_address'] = None
        return 200, {single: one}

    def _create(self, table: str, body: Document) -> Answer:
        if table != 'ports':
            single = next(name for name, many in NAMES.items() if many == table)
            return 201, {single: self._make(table, body[single])}
        if 'port' in body:
            return 201, {'port': self._make_port(body['port'])}
        if self.quota >= 0 and len(self.ports) + len(body['ports']) > self.quota:
            raise Refused(409, 'OverQuota', "Quota exceeded for resources: ['port'].")
        return 201, {'ports': [self._make_port(one) for one in body['ports']]}

    def _make(self, table: str, asked: Document) -> Document:
        one: Document = {'id': str(uuid.uuid4()), 'tenant_id': 'demo', 'project_id': 'demo', **asked}
        if table == 'floatingips':
            number = len(self.tables[table]) + 10
            one.update(floating_ip_address=f'203.0.113.{number}', port_id=None, fixed_ip_address=None)
        elif table == 'security_groups':
            one['security_group_rules'] = []
        elif table == 'security_group_rules':
            self.tables['security_groups'][one['security_group_id']]['security_group_rules'].append(one)
        self.tables[table][one['id']] = one
        return one

    def _topology(self, project: str, dry: bool) -> Answer:
        if self.topology is None:
            raise Refused(409, 'AutoAllocationFailure', 'Deployment error: no default router:external network.')
        if dry:
            return 200, {'auto_allocated_topology': {'id': 'dry-run=pass', 'tenant_id': project}}
        if self.topology not in self.tables['networks']:
            self.network(project, id=self.topology, name='auto_allocated_network')
        return 200, {'auto_allocated_topology': {'id': self.topology, 'tenant_id': project}}

    # -- ports

    def _make_port(self, asked: Document) -> Document:
        if self.quota >= 0 and len(self.ports) >= self.quota:
            raise Refused(409, 'OverQuota', "Quota exceeded for resources: ['port'].")
        network = self.tables['networks'].get(asked['network_id'])
        if network is None:
            raise Refused(404, 'NetworkNotFound', f"Network {asked['network_id']} could not be found.")
        port = {'id': str(uuid.uuid4()), 'status': 'DOWN', 'device_id': '', 'device_owner': '', 'dns_name': '',
                'security_groups': [], 'binding:vnic_type': 'normal', 'binding:profile': {}, HOST: '',
                'created_at': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), 'revision_number': 0,
                'port_security_enabled': True, **asked}
        if network.get('guarantees'):
            port['resource_request'] = network['guarantees']
        port['project_id'] = port['tenant_id']
        port['mac_address'] = asked.get('mac_address') or 'fa:16:3e:' + ':'.join(
            re.findall('..', port['id'][:6]))
        port['fixed_ips'] = self._addresses(network, asked.get('fixed_ips'))
        self._bind(port, port[HOST])
        self.ports[port['id']] = port
        return port

    def _addresses(self, network: Document, asked: Any) -> list[Document]:
        if not network['subnets'] or asked == []:
            return []
        subnet = self.tables['subnets'][network['subnets'][0]]
        taken = {ip['ip_address'] for port in self.ports.values() for ip in port['fixed_ips']}
        block = ipaddress.ip_network(subnet['cidr'])
        if asked:
            address = asked[0]['ip_address']
            if ipaddress.ip_address(address) not in block:
                raise Refused(400, 'InvalidIpForNetwork', f'IP address {address} is not a valid IP for the network.')
            if address in taken:
                raise Refused(409, 'IpAddressAlreadyAllocated', f'IP address {address} already allocated in subnet.')
        else:
            address = next(str(host) for host in itertools.islice(block.hosts(), 1, None) if str(host) not in taken)
        return [{'subnet_id': subnet['id'], 'ip_address': address}]

    def _bind(self, port: Document, host: str | None) -> None:
        port[HOST] = host or ''
        self.bindings[port['id']] = {}
        port['status'] = 'DOWN'
        self._looks.pop(port['id'], None)
        made = self._bound(host or '', 'ACTIVE')
        port[VIF_TYPE], port[DETAILS] = made['vif_type'], made['vif_details']
        if host:
            self.bindings[port['id']][host] = made

    def _bound(self, host: str, status: str) -> Document:
        kind = 'unbound' if not host else 'ovs' if host in self.agents else 'binding_failed'
        details = {'bridge_name': self.agents[host], 'port_filter': True, 'ovs_hybrid_plug': False,
                   'datapath_type': 'system'} if kind == 'ovs' else {}
        return {'host': host, 'status': status, 'vif_type': kind, 'vif_details': details, 'vnic_type': 'normal',
                'profile': {}}

    def _change_port(self, port: Document, changes: Document) -> None:
        rest = {name: value for name, value in changes.items() if name != HOST}
        port.update(rest, revision_number=port['revision_number'] + 1)
        for one in self.bindings[port['id']].values():
            if one['status'] == 'ACTIVE' and 'binding:profile' in rest:
                one['profile'] = rest['binding:profile']
        if HOST in changes and ((changes[HOST] or '') != port[HOST] or port[VIF_TYPE] == 'binding_failed'):
            self._bind(port, changes[HOST])

    def _binding(self, method: str, parts: list[str], body: Document) -> Answer:
        port, bindings = self.ports.get(parts[1]), self.bindings.get(parts[1], {})
        if port is None:
            raise Refused(404, 'PortNotFound', f'Port {parts[1]} could not be found.')
        if len(parts) == 3 and method == 'GET':
            return 200, {'bindings': list(bindings.values())}
        if len(parts) == 3:
            host = body['binding']['host']
            if host in bindings:
                raise Refused(409, 'PortBindingAlreadyExists')
            if host not in self.agents:
                raise Refused(500, 'PortBindingError', f'Binding for port {parts[1]} on host {host} failed.')
            bindings[host] = {**self._bound(host, 'INACTIVE'), 'profile': body['binding'].get('profile', {})}
            return 201, {'binding': bindings[host]}
        if parts[3] not in bindings:
            raise Refused(404, 'PortBindingNotFound')
        if method == 'DELETE':
            del bindings[parts[3]]
            return 204, None
        if bindings[parts[3]]['status'] == 'ACTIVE':
            raise Refused(409, 'PortBindingAlreadyActive')
        active = bindings[parts[3]]
        if {one['profile'].get('migrating_to') for one in bindings.values()} != {parts[3]}:
            # The agent of Neutron 29: a port with an inactive binding elsewhere leaves, unless it is said to come.
            raise Refused(409, 'NobodyWiresIt', f'The port is taken for one that leaves {parts[3]}.')
        for one in bindings.values():
            one['status'] = 'INACTIVE'
        active['status'] = 'ACTIVE'
        port.update({HOST: parts[3], VIF_TYPE: active['vif_type'], DETAILS: active['vif_details'],
                     'binding:profile': active['profile']})
        return 200, {'binding': active}

    def _look(self, port: Document) -> None:
        """The agent works while others look."""
        if port[VIF_TYPE] == 'ovs' and port['status'] == 'DOWN' and self.plugs_after is not None:
            self._looks[port['id']] = self._looks.get(port['id'], 0) + 1
            if self._looks[port['id']] > self.plugs_after:
                port['status'] = 'ACTIVE'


def _matches(one: Document, key: str, values: list[str]) -> bool:
    if key == 'fixed_ips':
        wanted = {value.partition('=')[2] for value in values}
        return any(ip['ip_address'] in wanted for ip in one['fixed_ips'])
    return str(one.get(key)) in values


def _refusal(kind: str, message: str) -> Document:
    return {'NeutronError': {'type': kind, 'message': message, 'detail': ''}}


def _drop(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.shutdown(2)


def _broken(answer: Any) -> Answer | None:
    if isinstance(answer, float):
        time.sleep(answer)
        return None
    if answer == 'drop':
        return 0, _drop
    return int(answer), _refusal('Planned', f'planned {answer}')
