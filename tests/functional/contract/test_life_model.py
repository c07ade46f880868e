"""One server after another lives at random, and is looked at after each step.

What is legal must be done and lead where the model says; what is not must be a 409 that changes nothing; and at no
rest may anything be held for nobody. `long` lives 10,000 steps.
"""
from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from minicompute.objects import VMState as VM
from tests.functional.cloud import Cloud
from tests.functional.contract.life import ALWAYS_LEGAL, POWER, SHOWN, Deed, Life, deeds

ADMIN, USER = 'admin', 'bob'
PROJECT = 'demo'


class Lives(RuleBasedStateMachine):
    """The cloud outlives the servers; each example is one of them."""

    cloud: ClassVar[Cloud]
    deeds: ClassVar[list[Deed]]
    body: ClassVar[dict[str, Any]]
    numbers: ClassVar[Any] = itertools.count()
    steps: ClassVar[int] = 0

    @initialize()
    def born(self) -> None:
        self.life = Life()
        body = {'server': {**self.body, 'name': f'life-{next(self.numbers)}'}}
        self.uuid = self.api('POST', '/servers', body)['server']['id']

    def api(self, method: str, path: str, body: Any = None, *, admin: bool = False, expect: int | None = None) -> Any:
        type(self).steps += 1
        return self.cloud.api(method, path, body, user=ADMIN if admin else USER, project=PROJECT, expect=expect)

    def fits(self, deed: Deed) -> bool:
        return deed.name in ALWAYS_LEGAL or self.life.legal(deed.name)

    def expected(self, deed: Deed) -> int:
        """In the order in which the API looks."""
        if self.life.locked and not deed.past_lock and not deed.admin:
            return 409
        if not self.fits(deed):
            return 409
        return deed.refused(self.life) or deed.code

    def do(self, deed: Deed) -> None:
        if not deed.foreseen(self.life):
            return
        code = self.expected(deed)
        self.api('POST', f'/servers/{self.uuid}/action', deed.body, admin=deed.admin, expect=code)
        if code < 300:
            deed.becomes(self.life)

    @rule(data=st.data())
    def what_is_legal(self, data: st.DataObject) -> None:
        fitting = [deed for deed in self.deeds if self.fits(deed) and deed.foreseen(self.life)]
        self.do(data.draw(st.sampled_from(fitting)))

    @rule(data=st.data())
    def anything(self, data: st.DataObject) -> None:
        self.do(data.draw(st.sampled_from(self.deeds)))     # those of this cloud: a strategy outlives it

    @rule()
    def delete(self) -> None:
        """It may be taken back, once; a second delete of what is deleted already changes nothing."""
        if self.life.locked:
            self.api('DELETE', f'/servers/{self.uuid}', expect=409)
        elif self.life.state not in (VM.ERROR, VM.SHELVED_OFFLOADED):
            self.api('DELETE', f'/servers/{self.uuid}', expect=204)
            self.life.state = VM.SOFT_DELETED

    @rule(key=st.sampled_from('ab'), value=st.sampled_from('xy'))
    def note(self, key: str, value: str) -> None:
        code = 409 if self.life.locked or not self.life.legal('update_metadata') else 200
        self.api('POST', f'/servers/{self.uuid}/metadata', {'metadata': {key: value}}, expect=code)
        if code == 200:
            self.life.metadata[key] = value

    @rule(tags=st.sets(st.sampled_from(('red', 'green')), max_size=2))
    def tag(self, tags: set[str]) -> None:
        code = 200 if self.life.legal('update_tags') else 409
        self.api('PUT', f'/servers/{self.uuid}/tags', {'tags': sorted(tags)}, expect=code)
        if code == 200:
            self.life.tags = tags

    @invariant()
    def it_is_as_it_should_be(self) -> None:
        if not hasattr(self, 'life'):
            return
        server = self.cloud.until(self.at_rest, f'{self.uuid} to come to rest as {self.life.state}')
        assert server['OS-EXT-STS:vm_state'] == self.life.state, (server['OS-EXT-STS:vm_state'], self.life)
        assert server['status'] == SHOWN[self.life.state]
        assert server['locked'] is self.life.locked and server['metadata'] == self.life.metadata
        assert set(server['tags']) == self.life.tags
        assert server['flavor']['vcpus'] == (2 if self.life.large else 1)
        self.check_place(server['OS-EXT-SRV-ATTR:host'])
        if self.life.state in POWER:
            assert server['OS-EXT-STS:power_state'] == POWER[self.life.state]
        assert not self.cloud.leaks(), (self.cloud.leaks(), self.life)

    def check_place(self, host: str | None) -> None:
        if self.life.state == VM.SHELVED_OFFLOADED:
            assert host is None and self.uuid not in self.cloud.domains()
        elif self.life.state == VM.RESIZED:      # the host that it came from keeps a domain, too
            assert host is not None and self.uuid in self.cloud.domains()
        else:
            assert host is not None and self.cloud.domains()[self.uuid] == host

    def at_rest(self) -> Any:
        server = self.cloud.show(self.uuid)
        return server if server['OS-EXT-STS:task_state'] is None and server['OS-EXT-STS:vm_state'] != VM.BUILDING and (
            'locks' not in self.cloud.leaks()) else None

    def teardown(self) -> None:
        if hasattr(self, 'uuid'):
            self.cloud.api('POST', f'/servers/{self.uuid}/action', {'forceDelete': None}, expect=202, project=PROJECT)
            self.cloud.wait_gone(self.uuid)
            self.cloud.until(lambda: not self.cloud.leaks(), 'nothing to be held')


def live(cloud: Cloud, conf: Any, examples: int, steps: int) -> None:
    conf.set_override('reclaim_instance_interval', 3600)
    conf.set_override('shelved_offload_time', -1)
    image, small, large = cloud.image(), cloud.flavor(disk=1), cloud.flavor(disk=1, vcpus=2)
    Lives.cloud, Lives.steps = cloud, 0
    Lives.body = {'imageRef': image, 'flavorRef': small, 'networks': 'none'}
    Lives.deeds = deeds(image, small, large)
    run_state_machine_as_test(Lives, settings=settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, derandomize=examples < 50,
        phases=[Phase.generate],      # each step waits for daemons: to shrink a failure would take hours
        suppress_health_check=list(HealthCheck), print_blob=True))


def test_a_few_lives(cloud: Cloud, conf: Any) -> None:
    live(cloud, conf, examples=6, steps=25)


@pytest.mark.long
def test_many_lives(cloud: Cloud, conf: Any) -> None:
    live(cloud, conf, examples=240, steps=50)      # a step that the model does not foresee is none
    assert Lives.steps >= 10_000
