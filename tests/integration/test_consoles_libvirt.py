"""Consoles and metadata of real guests: what QEMU says through the proxies, and what a guest hears at 169.254.169.254.

One stack of real daemons with libvirt, the proxies and the metadata API beside it, as the quickstart starts them.
"""
from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.test_console_proxy import Viewer, read
from tests.integration.stack import BIN, Broker, Stack, free_port, tail, wait_for
from tests.integration.test_libvirt_driver import GUEST, IMAGES, libvirtd  # noqa: F401

#: a guest without KVM on a busy machine
BOOT = 600


#: what the guest asks by itself
SCRIPT = """#!/bin/sh
wget -q -O - --header 'X-Instance-ID: 0' --header 'X-Tenant-ID: admin' --header 'X-Instance-ID-Signature: 0' \\
    http://169.254.169.254/openstack/latest/meta_data.json | tr , '\\n' > /dev/console
echo > /dev/console
echo "ec2: $(wget -q -O - http://169.254.169.254/latest/meta-data/instance-id)" > /dev/console
"""


class Cloud:
    def __init__(self, stack: Stack, ports: dict[str, int]) -> None:
        self.stack, self.api, self.ports = stack, stack.api, ports
        self.extra: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str) -> None:
        """A daemon beside the stack's, with the configuration of its api."""
        config = self.stack.daemons['api', 0].config
        log = self.stack.directory / f'{name}.log'
        with open(log, 'ab') as output:
            self.extra[name] = subprocess.Popen(
                [str(BIN / f'minicompute-{name}'), '--config-file', str(config)], stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={'PATH': os.environ['PATH'], 'HOME': os.environ.get('HOME', '/root')})

        def ready() -> bool:
            assert self.extra[name].poll() is None, tail(log)
            with socket.socket() as sock:
                return sock.connect_ex(('127.0.0.1', self.ports[name])) == 0
        wait_for(ready, BOOT, f'{name} ready')

    def stop(self) -> None:
        for process in self.extra.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.extra.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def console(self, server: str) -> str:
        return str(self.api.ok('POST', f'/servers/{server}/action', {'os-getConsoleOutput': {}})['output'])

    def url(self, server: str, protocol: str, kind: str) -> str:
        body = {'remote_console': {'protocol': protocol, 'type': kind}}
        return str(self.api.ok('POST', f'/servers/{server}/remote-consoles', body)['remote_console']['url'])


@pytest.fixture(scope='module')
def cloud(broker: Broker, libvirtd: Any) -> Iterator[Cloud]:  # noqa: F811
    """Not below pytest's directory, which QEMU may not walk to."""
    place = pathlib.Path(tempfile.mkdtemp(prefix='minicompute-', dir='/var/tmp'))
    place.chmod(0o755)
    ports = {name: free_port() for name in ('novncproxy', 'serialproxy', 'spicehtml5proxy', 'api-metadata')}
    web = place / 'novnc'
    web.mkdir()
    (web / 'vnc_lite.html').write_text('<title>noVNC</title>')
    secret = uuid.uuid4().hex
    settings = {
        'DEFAULT': {'metadata_listen_port': ports['api-metadata'], 'osapi_compute_workers': 1, 'web': str(web)},
        'spice': {'enabled': True, 'html5proxy_port': ports['spicehtml5proxy'],
                  'html5proxy_base_url': f'http://127.0.0.1:{ports["spicehtml5proxy"]}/spice_auto.html'},
        'vnc': {'novncproxy_port': ports['novncproxy'],
                'novncproxy_base_url': f'http://127.0.0.1:{ports["novncproxy"]}/vnc_auto.html'},
        'serial_console': {'enabled': True, 'serialproxy_port': ports['serialproxy'],
                           'base_url': f'ws://127.0.0.1:{ports["serialproxy"]}/', 'port_range': '21000:21100'},
        'neutron': {'service_metadata_proxy': True, 'metadata_proxy_shared_secret': secret},
        'local_networks': {'metadata_url': f'http://127.0.0.1:{ports["api-metadata"]}',
                           'bridge_prefix': 'mcx', 'default_cidr': f'10.{os.getpid() % 100 + 100}.0.0/16'},
    }
    with Stack(place, broker, driver='libvirt.LibvirtDriver', settings=settings) as stack:
        made = Cloud(stack, ports)
        try:
            for name in ports:
                made.spawn(name)
            yield made
        finally:
            for server in made.api.servers():
                made.api.request('DELETE', f'/servers/{server["id"]}')
            wait_for(lambda: not made.api.servers(), BOOT, 'the end of all servers')
            made.stop()
            for log in place.glob('*.log'):
                print(f'--- {log.name}\n{tail(log, 12)}')
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope='module')
def image(cloud: Cloud) -> str:
    path = IMAGES / GUEST
    assert path.exists(), f'{path} is not there: run tools/build_guest.sh'
    base = cloud.api.endpoint.removesuffix('/v2.1') + '/image/v2/images'
    headers = {'Content-Type': 'application/json', 'X-Auth-Token': 'admin:admin'}
    body = {'name': 'guest', 'disk_format': 'qcow2', 'container_format': 'bare', 'visibility': 'public'}
    request = urllib.request.Request(base, json.dumps(body).encode(), headers)
    made = json.loads(urllib.request.urlopen(request, timeout=BOOT).read())
    upload = urllib.request.Request(f'{base}/{made["id"]}/file', path.read_bytes(), {
        **headers, 'Content-Type': 'application/octet-stream'}, method='PUT')
    urllib.request.urlopen(upload, timeout=BOOT).close()
    return str(made['id'])


@pytest.fixture(scope='module')
def server(cloud: Cloud, image: str) -> str:
    """On a network of the local backend, without a config drive: it has nobody to ask but 169.254.169.254."""
    script = base64.b64encode(SCRIPT.encode()).decode()
    made = cloud.api.boot('metadata-guest', cloud.api.flavor('guest', ram=160), image, networks='auto',
                          metadata={'colour': 'green'}, user_data=script)
    cloud.api.wait_status(made['id'], 'ACTIVE', BOOT)
    return str(made['id'])


def wait_for_console(cloud: Cloud, server: str, words: str) -> str:
    def look() -> str | None:
        text = cloud.console(server)
        return text if words in text else None
    return str(wait_for(look, BOOT, f'{words!r} on the console', pause=1))


def open_socket(url: str) -> Viewer:
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qs(parts.query)
    path = '/' + query['path'][0] if 'path' in query else f'/?{parts.query}'
    viewer = Viewer(path)
    viewer.connect(f'ws://{parts.netloc}/', origin=f'http://{parts.netloc}', protocols=['binary'])
    viewer.socket.settimeout(BOOT)
    return viewer


def test_the_url_of_a_vnc_console_works(cloud: Cloud, server: str) -> None:
    url = cloud.url(server, 'vnc', 'novnc')
    with urllib.request.urlopen(url, timeout=BOOT) as page:
        assert page.status == 200 and b'noVNC' in page.read()
    viewer = open_socket(url)
    assert read(viewer, 12) == b'RFB 003.008\n'
    viewer.close()
    with pytest.raises(Exception, match='403'):
        open_socket(url)


def test_a_spice_console_answers(cloud: Cloud, server: str) -> None:
    viewer = open_socket(cloud.url(server, 'spice', 'spice-html5'))
    # A link message of version 2.2 for the main channel, without capabilities.
    viewer.send(b'REDQ' + struct.pack('<IIIIBBIII', 2, 2, 18, 0, 1, 0, 0, 0, 18))
    assert read(viewer, 4).startswith(b'REDQ')
    viewer.close()


def test_a_guest_hears_who_it_is(cloud: Cloud, server: str) -> None:
    wait_for_console(cloud, server, 'minicompute-guest: up')
    text = wait_for_console(cloud, server, ' source=metadata-service')
    line = next(line for line in text.splitlines() if 'minicompute-guest: up' in line)
    assert f'instance={server}' in line and 'source=metadata-service' in line
    assert 'hostname=metadata-guest' in line


def test_what_is_typed_into_the_serial_console_arrives(cloud: Cloud, server: str) -> None:
    """The terminal of the guest echoes it."""
    wait_for_console(cloud, server, 'minicompute-guest: up')
    viewer = open_socket(cloud.url(server, 'serial', 'serial'))
    viewer.socket.settimeout(5)
    mark, seen, deadline = f'nobody-{uuid.uuid4().hex[:8]}', b'', time.monotonic() + BOOT
    while mark.encode() not in seen:
        assert time.monotonic() < deadline, seen
        viewer.send(f'{mark}\r'.encode())
        with contextlib.suppress(TimeoutError):
            while mark.encode() not in seen:
                seen += read(viewer, 1)
    viewer.close()
    assert mark in wait_for_console(cloud, server, mark), 'the log goes on beside it'


def test_a_guest_may_ask_about_itself_only(cloud: Cloud, server: str) -> None:
    """What its user data says of itself in headers goes no further."""
    text = wait_for_console(cloud, server, 'user_data exit=')
    assert f'"uuid": "{server}"' in text and '"colour": "green"' in text
    assert 'ec2: i-' in text


def test_rules_go_with_their_bridges(cloud: Cloud, image: str, server: str) -> None:
    from minicompute.virt import link_local

    bridges = {name for name in link_local.rules() if name.startswith('mcx')}
    assert len(bridges) == 1
    cloud.api.ok('DELETE', f'/servers/{server}')
    wait_for(lambda: not bridges & link_local.rules(), BOOT, 'the end of the rule')
