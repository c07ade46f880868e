"""Every operation × every role, in the project of what is asked for and in another one.

The operations come from the route table, so that a new one is found by itself; what to send, and which rule decides,
stands in tests/functional/requests.py; what the rule's default is, in tests/unit/policies_of_nova.txt.
"""
from __future__ import annotations

import dataclasses
import pathlib
import uuid

import oslo_messaging as messaging
import pytest

from minicompute import policy, rpc
from minicompute.api.openstack import router
from minicompute.api.openstack.wsgi import Operation
from minicompute.compute.api import guest
from minicompute.db import session
from minicompute.db.models import metadata
from tests.functional.api.client import Client
from tests.functional.requests import IDS, NOWHERE, REQUESTS, ROLE_FIRST, VARIANTS, Row, Since
from tests.functional.servers_fixtures import *  # noqa: F403
from tests.functional.servers_fixtures import compute_service, place

pytestmark = pytest.mark.generic     # long, and the same on every database
ROLES = ('nothing', 'reader', 'member', 'manager', 'admin', 'service')
_PROJECT = ('reader', 'member', 'manager', 'admin')
#: default of a rule -> who may; service is no project's role
MAY = {'@': ROLES, '(rule:context_is_admin) or user_id:%(user_id)s': ROLES, 'rule:context_is_admin': ('admin',),
       'rule:project_reader_or_admin': _PROJECT, 'rule:project_member_or_admin': _PROJECT[1:],
       'rule:project_manager_or_admin': _PROJECT[2:], 'rule:service_or_admin': ('service', 'admin')}
TABLE = pathlib.Path(__file__).parents[2] / 'unit' / 'policies_of_nova.txt'
CHECKS = {cells[0]: cells[1] for cells in (
    [cell.strip() for cell in line.split('|')] for line in TABLE.read_text().splitlines()) if not cells[0][0] == '#'}
#: gone for good, whoever asks: 410 (and one 400)
REMOVED = 'removed.'


@dataclasses.dataclass(frozen=True)
class Asked:
    """One operation at its last microversion, and its request."""

    key: str
    operation: Operation
    row: Row

    @property
    def module(self):
        return self.operation.label.partition('.')[0]

    @property
    def version(self):
        return str(self.operation.promise.last)

    def may(self, role):
        return role in (self.row.who or (ROLES if self.row.rule is None else MAY[CHECKS[self.row.rule]]))


def operations():
    table = router.Router(row for module in router.load_modules() for row in module.ROUTES)
    for key, resource in table.resources.items():
        for operation in resource.operations:
            action = operation.promise.action
            yield f'{key} {action}' if action else key, operation


def everything():
    for key, operation in operations():
        if not operation.label.startswith(REMOVED) and key in REQUESTS:
            yield Asked(key, operation, REQUESTS[key])
            yield from (Asked(key, operation, row) for name, row in VARIANTS if name == key)


MODULES = sorted({asked.module for asked in everything()})


def test_every_operation_has_its_request():
    missing = sorted(key for key, operation in operations()
                     if key not in REQUESTS and not operation.label.startswith(REMOVED))
    assert not missing, f'add these to tests/functional/requests.py: {missing}'
    unknown = {row.rule for row in REQUESTS.values() if row.rule} - CHECKS.keys()
    assert not unknown, f'no such rules: {unknown}'


# -- the world that is asked about ---------------------------------------------------------

class Things:
    """What the words in braces stand for: made when first asked for, and again once it may have been spoilt."""

    def __init__(self, world, api):
        self.world, self.api, self.made = world, api, {}
        api.post('/flavors', {'flavor': {'name': 'zero', 'id': 'zero', 'ram': 64, 'vcpus': 1, 'disk': 0}})
        compute_service('c1')
        compute_service('c2')

    def fill(self, value):
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, str) or not value.startswith('{'):
            return value
        if value not in self.made:
            self.made[value] = str(getattr(self, value.strip('{}'))())
        return self.made[value]

    def server(self):
        return place(self.world.boot(), address='10.0.0.5')

    def offloaded(self):
        """Whose state is looked at before the role."""
        return place(self.world.boot(), host=None, vm_state='shelved_offloaded')

    def image(self):
        return self.world.image

    def project(self):
        return 'demo'

    def aggregate(self):
        return self.api.post('/os-aggregates', {'aggregate': {'name': str(uuid.uuid4())}})['aggregate']['id']

    def group(self):
        body = {'server_group': {'name': 'g', 'policy': 'affinity'}}
        return self.world.member.post('/os-server-groups', body, version='2.104')['server_group']['id']

    def service(self):
        return self.api.get('/os-services', version='2.104')['services'][0]['id']


@pytest.fixture
def things(world, api, override, monkeypatch):
    override('quota', instances=-1, cores=-1, ram=-1, server_groups=-1)

    def nobody_answers(*_args, **_kwargs):
        raise messaging.MessagingTimeout('no daemon is there')
    monkeypatch.setattr(rpc.Client, 'call', nobody_answers)
    monkeypatch.setattr(guest, 'PATIENCE', 0.0)     # with an action that nobody takes up
    return Things(world, api)


@pytest.fixture
def rules(monkeypatch):
    """The rules that were asked since it was last cleared."""
    seen = set()
    allowed = policy.allowed

    def noted(context, rule, target=None):
        seen.add(rule)
        return allowed(context, rule, target)
    monkeypatch.setattr(policy, 'allowed', noted)
    return seen


def ask(asked, things, app, role, project):
    method, path = asked.key.split()[:2]
    for name, value in {**IDS.get(path.split('/')[1], {}), **asked.row.ids}.items():
        path = path.replace(f'{{{name}}}', things.fill(value).replace(' ', '%20'))
    for name in ('{id}', '{image_id}', '{server_id}'):
        path = path.replace(name, NOWHERE)
    body = asked.row.body
    if isinstance(body, Since):
        version = asked.operation.promise.last
        body = next(each for since, each in reversed(body.items()) if int(since.split('.')[1]) <= version.minor)
    client = Client(app, user='alice' if project == 'demo' else 'eve', project=project, roles=role)
    query = f'?{asked.row.query}' if asked.row.query else ''
    return client.call(method, path + query, things.fill(body), version=asked.version)


def records():
    """All that the database holds."""
    with session.read() as conn:
        return {table.name: sorted(map(str, conn.execute(table.select()))) for table in metadata.sorted_tables}


# -- the tests -------------------------------------------------------------------------------

@pytest.mark.parametrize('module', MODULES)
def test_who_may_not(app, things, module):
    """403, or what `foreign` says; and nothing is written."""
    for asked in everything():
        if asked.module != module:
            continue
        things.fill([*IDS.get(asked.key.split()[1].split('/')[1], {}).values(), *asked.row.ids.values(),
                     asked.row.body])
        before = records()
        for role in ROLES:
            if not asked.may(role):
                answer = ask(asked, things, app, role, 'demo')
                assert answer.status_int == 403, f'{asked.key}: {role} got {answer.status} {answer.text}'
                assert answer.json['forbidden']['code'] == 403
            foreign = asked.row.foreign or (None if asked.may(role) else 403)
            if asked.key in ROLE_FIRST and not asked.may(role):
                foreign = 403
            if role != 'admin' and foreign:
                answer = ask(asked, things, app, role, 'other')
                assert answer.status_int == foreign, f'{asked.key}: foreign {role} got {answer.status} {answer.text}'
        assert records() == before, asked.key


@pytest.mark.parametrize('module', MODULES)
def test_who_may(app, things, rules, module):
    """No policy says no (a quota, or an image's owner, may), and the rule was asked that the table says."""
    for asked in everything():
        if asked.module != module:
            continue
        for role in ROLES:
            for project in ('demo', 'other'):
                if not asked.may(role) or project == 'other' and role != 'admin' and asked.row.foreign:
                    continue
                rules.clear()
                answer = ask(asked, things, app, role, project)
                said = f'{asked.key}: {role} of {project} got {answer.status} {answer.text}'
                assert answer.status_int != 401 and "Policy doesn't allow" not in answer.text, said
                assert answer.status_int < 500 or answer.status_int in (501, 503), said
                assert asked.row.rule is None or asked.row.rule in rules, f'{said}, asked were {sorted(rules)}'
                if asked.key.split()[0] != 'GET':
                    things.made.clear()


def test_what_is_gone_is_gone_for_everybody(app, things):
    for key, operation in operations():
        if operation.label.startswith(REMOVED):
            method, path, action = [*key.split(), None][:3]
            for name in ('{id}', '{server_id}', '{domain_id}'):
                path = path.replace(name, things.fill('{server}') if path.startswith('/servers') else NOWHERE)
            body = {action: None} if action else {} if method in ('POST', 'PUT') else None
            for role in ROLES:
                client = Client(app, user='eve', project='other', roles=role)
                answer = client.call(method, path, body, version=str(operation.promise.last))
                assert answer.status_int == (400 if action == 'os-getRDPConsole' else 410), f'{key} {answer.text}'
