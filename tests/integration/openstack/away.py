"""Each neighbour taken away in the middle of actions, on the real services: python -m tests.integration.openstack.away

    --only glance --only kill     those of which this is a part
    --write                       the table goes to docs/openstack_lab.md

Needs tools/lab.sh up --neighbours, for a resize wants a second host. For each of Keystone, Glance, Neutron and Cinder,
and each way to be away (frozen: SIGSTOP, and SIGCONT; killed: kill -9, and started again), actions on several servers
are accepted, and then their neighbour goes and comes back until all have ended. What counts is what is left then: no
server in between, no port, attachment, image or claim that is nobody's. Whether an action succeeded is told beside it.
Exit status 1 when something was left.
"""
from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.integration.openstack.conftest import HOME, REPO, Lab
from tests.integration.openstack.truth import Truth

#: neighbour -> its processes
VICTIMS = {'keystone': ('keystone',), 'glance': ('glance',), 'neutron': ('neutron', 'neutron-rpc'),
           'cinder': ('cinder-api', 'cinder-scheduler', 'cinder-volume')}
WAYS = ('frozen', 'killed')
#: what is done at once, and then what takes it back
ROUNDS = (('boot', 'attach volume', 'attach interface', 'snapshot', 'resize'),
          ('delete', 'detach volume', 'detach interface', 'confirm resize'),
          ('boot from volume', 'swap volume', 'backup', 'shelve', 'rebuild on volume', 'live migration'),
          ('delete with volume', 'unshelve', 'revert resize'))
#: which server each is done to, where it is not `rest`
WHICH = {'attach volume': 'volume', 'detach volume': 'volume', 'swap volume': 'volume', 'attach interface': 'interface',
         'detach interface': 'interface', 'backup': 'interface', 'snapshot': 'snapshot', 'shelve': 'snapshot',
         'unshelve': 'snapshot', 'rebuild on volume': 'root'}
#: what must have been done, and to what state it leads
BEFORE = {'delete': 'boot', 'delete with volume': 'boot from volume', 'detach volume': 'attach volume',
          'swap volume': 'attach volume', 'detach interface': 'attach interface', 'confirm resize': 'resize',
          'revert resize': 'resize', 'unshelve': 'shelve'}
STATES = {'confirm resize': 'VERIFY_RESIZE', 'revert resize': 'VERIFY_RESIZE', 'unshelve': 'SHELVED_OFFLOADED'}
BOOTS, DELETES = ('boot', 'boot from volume'), ('delete', 'delete with volume')
#: what makes all as at first
TAKE_BACK = ('delete', 'detach volume', 'detach interface', 'confirm resize', 'unshelve')
AWAY, BETWEEN, STRIKES = 6.0, 2.0, 4
#: seconds for actions to end, and for what is owed to be done
END = 400.0
DOCUMENT = REPO / 'docs' / 'openstack_lab.md'
BEGIN, FINISH = '<!-- away: generated -->\n', '<!-- away: end -->\n'


@dataclasses.dataclass
class Case:
    action: str
    server: str
    steps: list[str] = dataclasses.field(default_factory=list)
    outcome: str = 'refused'
    wrong: str = ''


class Site:
    """Five servers that stay, whatever is done to them, and one that comes and goes."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.cloud = self.lab.of('admin')
        self.truth = Truth(HOME, self.cloud)
        self.network = self.cloud.network.find_network('demo').id
        self.image = self.cloud.image.find_image('minicompute-guest').id
        name = f'away-{uuid.uuid4().hex[:6]}'
        self.flavors = [self.cloud.compute.create_flavor(name=f'{name}-{ram}', ram=ram, vcpus=1, disk=1).id
                        for ram in (128, 144)]
        # This machine's own compute exchanges no guests with the lab's hosts.
        self.others = [one['id'] for one in self.ask('GET', '/os-services?binary=nova-compute')['services']
                       if not one['host'].startswith('host')]
        for one in self.others:
            self.ask('PUT', f'/os-services/{one}', {'status': 'disabled', 'disabled_reason': 'away.py'})
        self.volumes = [self.cloud.block_storage.create_volume(name='away', size=1, volume_type='rbd1').id
                        for _ in range(2)]
        self.guests = {name: self.make(name) for name in ('volume', 'interface', 'snapshot', 'root', 'rest')}
        self.visitor: str | None = None

    def request(self, method: str, path: str, body: Any = None) -> Any:
        return self.cloud.compute.request(path, method, json=body, microversion='2.95')

    def make(self, name: str) -> str:
        root = {'imageRef': self.image} if name not in ('root', 'boot from volume') else {'block_device_mapping_v2': [{
            'source_type': 'image', 'uuid': self.image, 'destination_type': 'volume', 'volume_type': 'rbd1',
            'boot_index': 0, 'volume_size': 1, 'delete_on_termination': True}]}
        made = self.ask('POST', '/servers', {'server': {
            'name': f'away-{name}', 'networks': [{'uuid': self.network}], 'key_name': 'demo',
            'flavorRef': self.flavors[0], 'availability_zone': 'nova', **root}})
        return str(made['server']['id'])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.request(method, path, body)
        if answer.status_code >= 300:
            raise RuntimeError(f'{method} {path}: {answer.status_code} {answer.text[:300]}')
        return answer.json() if answer.content else {}

    def show(self, server: str) -> dict[str, Any] | None:
        answer = self.request('GET', f'/servers/{server}')
        return None if answer.status_code == 404 else dict(answer.json()['server'])

    def act(self, server: str, name: str, argument: Any = None) -> None:
        self.ask('POST', f'/servers/{server}/action', {name: argument})

    # -- the actions -----------------------------------------------------------------------

    def begin(self, action: str) -> Case:
        """It is accepted, or refused with a word."""
        if action in BOOTS:
            self.visitor = self.make(action)
            return Case(action, self.visitor)
        server = str(self.visitor) if action in DELETES else self.guests[WHICH.get(action, 'rest')]
        name = f'away-{uuid.uuid4().hex[:6]}'
        attached = f'/servers/{server}/os-volume_attachments'
        {'delete': lambda: self.ask('DELETE', f'/servers/{server}'),
         'delete with volume': lambda: self.ask('DELETE', f'/servers/{server}'),
         'attach volume': lambda: self.ask('POST', attached, {'volumeAttachment': {'volumeId': self.volumes[0]}}),
         'detach volume': lambda: self.ask('DELETE', f'{attached}/{self._has(server)[0]}'),
         'swap volume': lambda: self.ask('PUT', f'{attached}/{self._has(server)[0]}', {
             'volumeAttachment': {'volumeId': next(one for one in self.volumes if one not in self._has(server))}}),
         'attach interface': lambda: self.ask('POST', f'/servers/{server}/os-interface', {
             'interfaceAttachment': {'net_id': self.network}}),
         'detach interface': lambda: self.ask('DELETE', f'/servers/{server}/os-interface/{self._cards(server)[-1]}'),
         'snapshot': lambda: self.act(server, 'createImage', {'name': name}),
         'backup': lambda: self.act(server, 'createBackup', {'name': name, 'backup_type': 'away', 'rotation': 1}),
         'resize': lambda: self.act(server, 'resize', {'flavorRef': self._other_flavor(server)}),
         'confirm resize': lambda: self.act(server, 'confirmResize'),
         'revert resize': lambda: self.act(server, 'revertResize'),
         'live migration': lambda: self.act(server, 'os-migrateLive', {'host': None, 'block_migration': 'auto'}),
         'rebuild on volume': lambda: self.act(server, 'rebuild', {'imageRef': self.image}),
         'shelve': lambda: self.act(server, 'shelve'),
         'unshelve': lambda: self.act(server, 'unshelve')}[action]()
        return Case(action, server)

    def prepare(self, action: str) -> None:
        """While all neighbours are there: what must be done before, if the round before has not done it."""
        if action in BEFORE and not self.possible(action):
            self.settle(self.begin(BEFORE[action]).server)

    def _has(self, server: str) -> list[str]:
        """Its volumes, but for a root of its own."""
        return [one['volumeId'] for one in self.ask('GET', f'/servers/{server}/os-volume_attachments')[
            'volumeAttachments'] if one['volumeId'] in self.volumes]

    def _cards(self, server: str) -> list[str]:
        return [one['port_id'] for one in self.ask('GET', f'/servers/{server}/os-interface')['interfaceAttachments']]

    def _other_flavor(self, server: str) -> str:
        shown = self.show(server)
        assert shown is not None
        return str(self.flavors[0] if shown['flavor']['ram'] == 144 else self.flavors[1])

    def possible(self, action: str) -> bool:
        """What the last round did not do needs no taking back."""
        if action in BOOTS:
            return True
        if action in DELETES:
            return self.visitor is not None and self.show(self.visitor) is not None
        server = self.guests[WHICH.get(action, 'rest')]
        if action in ('detach volume', 'swap volume'):
            return bool(self._has(server))
        if action == 'detach interface':
            return len(self._cards(server)) > 1
        shown = self.show(server)
        return bool(shown) and shown['status'] == STATES.get(action, 'ACTIVE')

    # -- what must hold ----------------------------------------------------------------------

    def wrong(self, server: str) -> str:
        """What is not as it should be with a server that is at rest, or gone; empty when all is well."""
        found = self.truth.going_on([server])
        shown = self.show(server)
        if found:
            return f'goes on: {found[0][1:]}'
        if shown is None:
            return ', '.join(f'left: {name} {value}' for name, value in self.truth.left(server).items())
        if shown['OS-EXT-STS:task_state'] or shown['status'] in ('BUILD', 'RESIZE', 'DELETED', 'UNKNOWN'):
            return f'{shown["status"]} {shown["OS-EXT-STS:task_state"]}'
        host, faults = shown['OS-EXT-SRV-ATTR:host'], []
        ports = self.truth.neutron_ports(server)
        if sorted(one['id'] for one in ports) != sorted(self._cards(server)):
            faults.append(f'ports {[one["id"] for one in ports]}, cards {self._cards(server)}')
        if shown['status'] != 'ERROR' and any(one['binding:host_id'] != (host or '') for one in ports):
            faults.append(f'ports at {[one["binding:host_id"] for one in ports]}, not {host}')
        mine = self.ask('GET', f'/servers/{server}/os-volume_attachments')['volumeAttachments']
        theirs = self.truth.attachments(server)
        if sorted(one['volume'] for one in theirs) != sorted(one['volumeId'] for one in mine) or any(
                (one['host'], one['status']) != (host, 'attached') for one in theirs if shown['status'] != 'ERROR'):
            faults.append(f'attachments {theirs}')
        if any(status != 'active' for _, status in self.truth.images(server)):
            faults.append(f'images {self.truth.images(server)}')
        claims = self.truth.claims(server)
        if len(claims) != (2 if shown['status'] == 'VERIFY_RESIZE' else int(bool(host))):
            faults.append(f'claims at {claims}')
        return ', '.join(faults)

    def settle(self, server: str) -> str:
        end = time.monotonic() + END
        while True:
            with contextlib.suppress(Exception):    # a neighbour that is only just back
                if not (why := self.wrong(server)):
                    return ''
                if time.monotonic() > end:
                    return why
            if time.monotonic() > end + 60:
                return 'the services do not answer'
            time.sleep(1)

    def outcome(self, case: Case) -> str:
        row = self.truth.rows('SELECT state, message FROM instance_actions WHERE instance_uuid = :uuid '
                              'ORDER BY id DESC LIMIT 1', uuid=case.server)[0]
        return 'done' if row[0] == 'done' and not row[1] else f'{row[0]}: {str(row[1])[:120]}'

    def mend(self) -> None:
        """As at first: servers in ERROR are replaced, what the last round did not take back is taken back."""
        for action in TAKE_BACK:
            if self.possible(action):
                self.settle(self.begin(action).server)
        for name, server in self.guests.items():
            shown = self.show(server)
            if shown is None or shown['status'] not in ('ACTIVE', 'BUILD'):
                self.remove(server)
                self.guests[name] = self.make(name)
            for image, _ in self.truth.images(server):
                self.cloud.image.delete_image(image)
        for server in self.guests.values():
            self.lab.until(lambda server=server: (self.show(server) or {}).get('status') == 'ACTIVE', 'it to run')

    def remove(self, server: str) -> str:
        """-> what is left of it"""
        self.request('DELETE', f'/servers/{server}')
        self.lab.until(lambda: self.show(server) is None, f'{server} to go')
        return self.settle(server)

    def close(self) -> list[str]:
        """All of it goes. -> what does not"""
        servers = [*self.guests.values(), *([self.visitor] if self.visitor else [])]
        found = [f'{server}: {why}' for server in servers if (why := self.remove(server))]
        for volume in self.volumes:
            self.lab.until(lambda volume=volume: self.cloud.block_storage.get_volume(volume).status == 'available',
                           'the volume')
            self.cloud.block_storage.delete_volume(volume)
        for flavor in self.flavors:
            self.cloud.compute.delete_flavor(flavor)
        for one in self.others:
            self.ask('PUT', f'/os-services/{one}', {'status': 'enabled'})
        return found


# -- how a neighbour goes and comes back ------------------------------------------------------------

def family(name: str) -> list[int]:
    """The process of this name and all below it."""
    with contextlib.suppress(OSError, ValueError):
        found = [int((HOME / 'pids' / f'{name}.pid').read_text())]
        for pid in found:
            for task in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
                found += [int(one) for one in task.read_text().split()]
        return found
    return []


def strike(lab: Lab, neighbour: str, way: str) -> Callable[[], None]:
    """-> what brings it back"""
    pids = [pid for name in VICTIMS[neighbour] for pid in family(name)]

    def tell(number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    if way == 'frozen':
        tell(signal.SIGSTOP)
        return lambda: tell(signal.SIGCONT)
    tell(signal.SIGKILL)
    return lambda: [lab.tool('start', name) for name in VICTIMS[neighbour]] and None


def round_of(site: Site, actions: tuple[str, ...], neighbour: str, way: str) -> list[Case]:
    cases = []
    for action in actions:
        site.prepare(action)
    for action in actions:
        if site.possible(action):
            try:
                cases.append(site.begin(action))
            except RuntimeError as error:
                cases.append(Case(action, '', wrong=f'refused though all ran: {error}'))
    servers = [case.server for case in cases if case.server]
    for number in range(STRIKES):
        back = strike(site.lab, neighbour, way)
        try:
            under_way = site.truth.going_on(servers)
            for case in cases:
                case.steps += [step for server, *_, step in under_way if server == case.server]
            time.sleep(AWAY)
        finally:
            back()
        time.sleep(BETWEEN * (number + 1))
        if not site.truth.going_on(servers):
            break
    for case in cases:
        if case.server:
            case.wrong = site.settle(case.server)
            case.outcome = site.outcome(case)
            print(f'{neighbour} {way}: {case.action}: {case.outcome}; at {", ".join(case.steps) or "-"}'
                  f'{f"; WRONG: {case.wrong}" if case.wrong else ""}', flush=True)
    return cases


def table(found: dict[tuple[str, str], list[Case]]) -> str:
    """Rows: actions; columns: neighbours, each way; n/m: of m that were under way as it went, n were done after all."""
    names = [action for actions in ROUNDS for action in actions]
    columns = list(found)
    heads = ' | '.join(f'{neighbour}, {way}' for neighbour, way in columns)
    lines = [f'| | {heads} |', '|---' * (len(columns) + 1) + '|']
    for name in names:
        cells = []
        for column in columns:
            cases = [case for case in found[column] if case.action == name]
            cells.append('; '.join(_cell(case) for case in cases) or '-')
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _cell(case: Case) -> str:
    if case.wrong:
        return f'**{case.wrong}**'
    steps = ', '.join(dict.fromkeys(case.steps))
    return f'{case.outcome.partition(":")[0]}{f" ({steps})" if steps else ""}'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', action='append', default=[])
    parser.add_argument('--write', action='store_true')
    args = parser.parse_args()
    site, found = Site(), collections.defaultdict(list)
    left: list[str] = []
    try:
        for neighbour in VICTIMS:
            for way in WAYS:
                if args.only and not any(word in f'{neighbour} {way}' for word in args.only):
                    continue
                site.mend()
                for actions in ROUNDS:
                    found[neighbour, way] += round_of(site, actions, neighbour, way)
    finally:
        left = site.close()
    print(table(found))
    wrong = [case.wrong for cases in found.values() for case in cases if case.wrong] + left
    print('\n'.join(left) or 'nothing is left')
    if args.write:
        text = DOCUMENT.read_text()
        head, _, rest = text.partition(BEGIN)
        DOCUMENT.write_text(f'{head}{BEGIN}{table(found)}{FINISH}{rest.partition(FINISH)[2]}')
    return int(bool(wrong))


if __name__ == '__main__':
    sys.exit(main())
