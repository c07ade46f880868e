"""Beside Nova's contract, with real daemons: keys while the api is killed, hundreds of followers, figures."""
from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minicompute.cli.follow import messages
from tests.integration.stack import PATIENCE, Broker, Stack, free_port, wait_for
from tests.integration.test_kill import image

FOLLOWERS = 500
POSTS, CLIENTS = 1000, 16
HEADERS = {'X-Auth-Token': 'admin:admin', 'OpenStack-API-Version': 'compute 2.100',
           'Content-Type': 'application/json'}


def connection(stack: Stack) -> http.client.HTTPConnection:
    return http.client.HTTPConnection('127.0.0.1', stack.port, timeout=PATIENCE)


class Follower:
    """Server-sent events over a connection of its own, which is made again with Last-Event-ID."""

    def __init__(self, stack: Stack, last: int | None = None) -> None:
        self.last = last
        self._connection = connection(stack)
        headers = {**HEADERS, **({} if last is None else {'Last-Event-ID': str(last)})}
        self._connection.request('GET', '/minicompute/v1/events', headers=headers)
        self.answer = self._connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        self.messages = messages(self._lines())

    def _lines(self) -> Iterator[bytes]:
        while line := self.answer.readline():
            yield line.rstrip(b'\n')

    def ready(self) -> None:
        """Until all that was before has been told."""
        for kind, seq, _ in self.messages:
            if kind is None:
                self.last = seq
                return

    def until(self, over: Callable[[Any], bool]) -> list[tuple[int, Any]]:
        """-> (id, event) up to the one that is `over`"""
        found = []
        for kind, seq, data in self.messages:
            if kind == 'server' and seq is not None:
                found.append((seq, data))
                self.last = seq
                if over(data):
                    return found
        raise AssertionError('the stream ended')

    def close(self) -> None:
        self._connection.close()


def is_active(server: str) -> Callable[[Any], bool]:
    return lambda data: data['server']['id'] == server and data['server']['status'] == 'ACTIVE' and (
        data['server']['task_state'] is None)


@pytest.fixture(scope='module')
def crowd(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Stack]:
    """With room for all followers, who are of one project, also if one process of the api has most of them."""
    with Stack(tmp_path_factory.mktemp('crowd'), broker, settings={'events': {'followers': 4 * FOLLOWERS}}) as running:
        yield running


@pytest.fixture(scope='module')
def material(stack: Stack) -> dict[str, Any]:
    return {'imageRef': image(stack), 'flavorRef': stack.api.flavor(), 'networks': 'none'}


def boot(stack: Stack, material: dict[str, Any], name: str = 'vm') -> str:
    return str(stack.api.ok('POST', '/servers', {'server': {'name': name, **material}})['server']['id'])


def test_hundreds_of_followers_hold_no_thread(crowd: Stack) -> None:
    """More than the api has threads by far; requests are answered beside them, and each hears of everything."""
    material = {'imageRef': image(crowd), 'flavorRef': crowd.api.flavor(), 'networks': 'none'}
    followers = [Follower(crowd) for _ in range(FOLLOWERS)]
    try:
        for follower in followers:
            follower.ready()
        server = boot(crowd, material, 'followed')      # by the same two times eight threads
        heard = [[seq for seq, _ in follower.until(is_active(server))] for follower in followers]
        assert len({tuple(seqs) for seqs in heard}) == 1 and heard[0] == sorted(set(heard[0])) and len(heard[0]) >= 3
    finally:
        for follower in followers:
            follower.close()


def test_who_is_cut_off_hears_all_of_it_once(stack: Stack, material: dict[str, Any]) -> None:
    steady, cut = Follower(stack), Follower(stack)
    steady.ready()
    cut.ready()
    seen: list[int] = []
    for number in range(5):
        server = boot(stack, material, f'cut{number}')
        if number % 2:
            found = cut.until(lambda _: True)    # one event, and the connection is gone in the middle of a boot
            seen += [seq for seq, _ in found]
            last = cut.last
            cut.close()
            wait_for(lambda server=server: stack.api.ok('GET', f'/servers/{server}')['server']['status'] == 'ACTIVE',
                     PATIENCE, 'the boot')
            cut = Follower(stack, last)
        seen += [seq for seq, _ in cut.until(is_active(server))]
    wanted = [seq for seq, _ in steady.until(is_active(server))]
    assert seen == wanted
    steady.close()
    cut.close()


def test_waiting_holds_no_thread(stack: Stack, material: dict[str, Any]) -> None:
    """More wait than there are threads; the boot that they wait for is accepted beside them."""
    stop = boot(stack, material, 'waited')
    wait_for(lambda: stack.api.ok('GET', f'/servers/{stop}')['server']['status'] == 'ACTIVE', PATIENCE, 'the boot')
    waiting = []
    for _ in range(40):
        one = connection(stack)
        one.request('GET', f'/minicompute/v1/servers/{stop}/wait?status=SHUTOFF&timeout=300', headers=HEADERS)
        waiting.append(one)
    stack.api.ok('POST', f'/servers/{stop}/action', {'os-stop': None})
    for one in waiting:
        answer = one.getresponse()
        found = json.loads(answer.read())
        assert (answer.status, found['reached'], found['server']['status']) == (200, True, 'SHUTOFF')
        one.close()


def test_a_thousand_posts_make_one_server_though_the_api_is_killed(make_stack: Any, broker: Broker) -> None:
    stack = make_stack(broker)
    material = {'imageRef': image(stack), 'flavorRef': stack.api.flavor(), 'networks': 'none'}
    body, key = json.dumps({'server': {'name': 'once', **material}}).encode(), str(uuid.uuid4())
    left, lock, codes = [POSTS], threading.Lock(), Counter[Any]()
    answers: set[bytes] = set()

    def work() -> None:
        while True:
            with lock:
                left[0] -= 1
                if left[0] < 0:
                    return
            while True:
                code, text = post(stack, body, key)
                with lock:
                    codes[code] += 1
                    if code == 202:
                        answers.add(text)
                if code == 202:
                    break
                time.sleep(0.1)      # 409 while it runs, or nobody there
    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.7)
        stack.restart('api')
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert set(codes) <= {202, 409, None} and codes[202] == POSTS, codes
    found = stack.api.ok('GET', '/servers')['servers']
    assert len(found) == 1 and len(answers) == 1
    assert json.loads(answers.pop())['server']['id'] == found[0]['id']


def post(stack: Stack, body: bytes, key: str) -> tuple[int | None, bytes]:
    request = urllib.request.Request(f'{stack.endpoint}/servers', method='POST', data=body,
                                     headers={**HEADERS, 'Idempotency-Key': key})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:     # killed in the middle
        return None, b''
    except http.client.HTTPException:
        return None, b''


def test_figures_and_health(make_stack: Any, broker: Broker) -> None:
    ports = {f'{role}_port': free_port() for role in ('api', 'conductor', 'scheduler', 'compute')}
    stack = make_stack(broker, settings={'metrics': ports})
    material = {'imageRef': image(stack), 'flavorRef': stack.api.flavor(), 'networks': 'none'}
    server = boot(stack, material)
    wait_for(lambda: stack.api.ok('GET', f'/servers/{server}')['server']['status'] == 'ACTIVE', PATIENCE, 'the boot')
    wanted = {
        'api': 'minicompute_requests_total{code="202",route="POST /servers"} 1.0',
        'conductor': 'minicompute_step_seconds_count{flow="build",result="Success",step="spawn"} 1.0',
        'scheduler': 'minicompute_placements_total{result="claimed"} 1.0',
        'compute': 'minicompute_verb_seconds_count{result="Success",verb="spawn"} 1.0'}
    for role, line in wanted.items():
        # A daemon counts what it did when that is over, which others may see before.
        wait_for(lambda role=role, line=line: line in get(ports[f'{role}_port'], '/metrics')[1], PATIENCE, line)
        health = healthy(ports[f'{role}_port'])
        assert health['checks']['broker'] == {'status': 'ok'}
    assert 'minicompute_unclaimed_seconds' in get(ports['conductor_port'], '/metrics')[1]
    assert 'minicompute_rpc_seconds_count{method="select_destinations",topic="scheduler"}' in get(
        ports['conductor_port'], '/metrics')[1]
    healthy(stack.port)
    assert 'minicompute_' not in get(stack.port, '/metrics')[1], 'not where users are'
    assert get(ports['api_port'], '/v2.1/servers')[0] == 404


def healthy(port: int) -> Any:
    """-> what it says of its parts, once it is well: a part that took seconds to answer may have been missed once."""
    found = wait_for(lambda: (answer := get(port, '/healthcheck'))[0] == 200 and answer, PATIENCE, 'good health')
    return json.loads(found[1])


def get(port: int, path: str) -> tuple[int, str]:
    one = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE)
    one.request('GET', path)
    answer = one.getresponse()
    text = answer.read().decode()
    one.close()
    return answer.status, text


def test_the_health_says_what_is_away(make_stack: Any, own_broker: Broker) -> None:
    stack = make_stack(own_broker)
    own_broker.stop()

    def only_the_broker() -> bool:
        status, text = get(stack.port, '/healthcheck')
        checks = json.loads(text)['checks']
        return (status == 503 and checks['database'] == {'status': 'ok'}
                and 'does not answer' in checks['broker'].get('reason', ''))
    wait_for(only_the_broker, PATIENCE, 'the reason')
    own_broker.start()
    healthy(stack.port)
