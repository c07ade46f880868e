"""Writes the pictures of docs/: `python docs/img/pictures.py` after a change."""
from __future__ import annotations

import pathlib

from draw import (
    API,
    BLUE,
    COMPUTE,
    CONDUCTOR,
    DATABASE,
    GREEN,
    GREY,
    INK,
    PLAIN,
    RED,
    SCHEDULER,
    Picture,
)

HERE = pathlib.Path(__file__).parent


def daemons() -> Picture:
    p = Picture(1000, 640, 'The daemons and the wires between them')
    p.box(40, 30, 170, 56, 'REST client, CLI')
    p.box(320, 30, 640, 56, 'database: the record', ['SQLite, MariaDB or PostgreSQL'], fill=DATABASE)
    p.box(40, 170, 200, 92, 'api', ['gunicorn: a parent and', 'its worker processes'], fill=API)
    p.box(400, 170, 200, 92, 'conductor', ['runs the flows', 'one process, any number'], fill=CONDUCTOR)
    p.box(760, 170, 200, 92, 'scheduler', ['all hosts in columns', 'one process, any number'], fill=SCHEDULER)
    p.box(400, 410, 200, 92, 'compute', ['one a node', 'no database'], fill=COMPUTE)
    p.box(760, 410, 200, 92, 'libvirtd, QEMU', ['the guests outlive', 'the compute'])
    p.box(400, 560, 200, 50, 'fences/ on its disk', ['a file a server'])
    p.line([(125, 86), (125, 170)])
    p.text(133, 132, 'HTTP')
    p.line([(205, 170), (340, 86)], colour=GREY, start=True)
    p.line([(500, 170), (500, 86)], colour=GREY, start=True)
    p.line([(860, 170), (860, 86)], colour=GREY, start=True)
    for x in (290, 508, 868):
        p.text(x, 132, 'SQL', colour=GREY)
    p.line([(240, 205), (400, 205)], colour=BLUE, dashed=True)
    p.text(320, 198, 'ring, cancel', size=12, colour=BLUE, anchor='middle')
    p.line([(600, 216), (760, 216)], colour=GREEN)
    p.text(680, 209, 'select_destinations', size=12, colour=GREEN, anchor='middle')
    p.line([(110, 262), (110, 475), (400, 475)], colour=GREEN)
    p.text(122, 492, 'console_output', size=12, colour=GREEN)
    p.line([(170, 262), (170, 436), (400, 436)], colour=BLUE, dashed=True)
    p.text(182, 412, 'run_steps', size=12, colour=BLUE)
    p.text(182, 428, '(start, stop, reboot, delete)', size=12, colour=BLUE)
    p.line([(425, 262), (425, 410)], colour=BLUE, dashed=True)
    p.text(417, 340, 'run_steps', size=12, colour=BLUE, anchor='end')
    p.line([(475, 410), (475, 262)], colour=BLUE, dashed=True)
    for place, name in enumerate(('report', 'heartbeats', 'host_started', '(to all)')):
        p.text(484, 312 + 17 * place, name, size=12, colour=BLUE)
    p.line([(580, 410), (580, 262)], colour=GREEN)
    for place, name in enumerate(('hello, servers,', 'paid, power_states')):
        p.text(590, 329 + 17 * place, name, size=12, colour=GREEN)
    p.line([(600, 456), (760, 456)], start=True)
    p.text(680, 449, 'libvirt', size=12, anchor='middle')
    p.line([(500, 502), (500, 560)], colour=GREY, start=True)
    p.line([(40, 565), (90, 565)], colour=BLUE, dashed=True)
    p.text(100, 569, 'cast through RabbitMQ: may be lost', size=12)
    p.line([(40, 590), (90, 590)], colour=GREEN)
    p.text(100, 594, 'call through RabbitMQ: waits for the answer', size=12)
    return p


#: where each lifeline stands
LIFE = {'client': 55, 'api': 160, 'database': 300, 'conductor': 455, 'scheduler': 590, 'compute': 715, 'libvirt': 830}
#: from, to, kind ('sql' a commit, 'cast', 'call', 'own' something at one place), words
STEPS = [
    ('client', 'api', 'call', 'POST /servers'),
    ('api', 'database', 'sql', '1: server, disks, action'),
    ('api', 'client', 'call', '202'),
    ('api', 'conductor', 'cast', 'ring'),
    ('conductor', 'database', 'sql', '2: claim the action'),
    ('conductor', 'scheduler', 'call', 'select'),
    ('scheduler', 'database', 'sql', '3: claim room on the host'),
    ('scheduler', 'conductor', 'call', 'host, funnel'),
    ('conductor', 'database', 'sql', '4: host; step spawn'),
    ('conductor', 'compute', 'cast', 'run_steps: spawn'),
    ('compute', 'compute', 'own', 'fence to disk'),
    ('compute', 'libvirt', 'call', 'disks, domain'),
    ('compute', 'compute', 'own', 'report to disk'),
    ('compute', 'conductor', 'cast', 'report'),
    ('conductor', 'database', 'sql', '5: ACTIVE; action done'),
]
#: what a kill does: (first step, last step, who, what happens then)
KILLS = [
    (0, 0, 'api before commit 1', ['nothing was accepted:', 'the client sees a broken connection']),
    (2, 3, 'api after commit 1', ['no bell: the sweep finds the row', '(5 s old, looked for every 5 s)']),
    (4, 5, 'conductor after commit 2',
     ['the lease (10 s) runs out, another goes on;', 'itself, when it is back, at once']),
    (6, 7, 'scheduler', ['no answer in 30 s: asked again. What is', 'claimed already stays: the same host']),
    (8, 9, 'conductor after commit 4', ['as after 2: the heir asks the compute', 'under a higher fence']),
    (10, 12, 'compute',
     ['back, it says hello and is asked again;', 'a half-made domain is made so.',
      'Not back: down after 60 s, another host']),
    (13, 13, 'conductor, report in its hand', ['the heir asks again, the compute', 'answers from its disk']),
    (14, 14, 'anyone after commit 5', ['the server is there']),
]


def boot() -> Picture:
    top, gap = 80, 50
    p = Picture(1230, top + gap * len(STEPS) + 40, 'One boot, step by step, and what a kill does at each place')
    fills = {'api': API, 'conductor': CONDUCTOR, 'scheduler': SCHEDULER, 'compute': COMPUTE, 'database': DATABASE}
    bottom = top + gap * len(STEPS)
    for name, x in LIFE.items():
        p.line([(x, 50), (x, bottom)], colour=GREY, end=False, width=1)
        p.box(x - 47, 16, 94, 34, name, fill=fills.get(name, PLAIN))
    p.text(905, 38, 'kill -9 here, and then:', bold=True, colour=RED)
    for number, (start, end, kind, words) in enumerate(STEPS):
        _message(p, top + gap * number + 20, LIFE[start], LIFE[end], kind, words)
    for first, last, who, lines in KILLS:
        above, below = top + gap * first + 2, top + gap * last + 40
        p.line([(893, above), (887, above), (887, below), (893, below)], colour=RED, end=False)
        middle = (above + below) / 2 - 8 * len(lines) + 4
        p.text(905, middle, who, size=12, bold=True, colour=RED)
        for place, line in enumerate(lines, 1):
            p.text(905, middle + 16 * place, line, size=12)
    return p


def _message(p: Picture, y: float, start: float, end: float, kind: str, words: str) -> None:
    if kind == 'own':
        p.box(start - 55, y - 15, 110, 26, '', fill=COMPUTE)
        p.text(start, y + 2, words, size=12, anchor='middle')
        return
    colour = {'sql': INK, 'cast': BLUE, 'call': GREEN}[kind]
    p.line([(start, y), (end, y)], colour=colour, dashed=kind == 'cast', width=2.2 if kind == 'sql' else 1.5)
    p.text((start + end) / 2, y - 9, words, size=12, anchor='middle', colour=colour, bold=kind == 'sql', back=True)


#: from the top; the same table as in tests/unit/test_floors.py
FLOORS = [
    ('7 entry', 'cmd, wsgi, cli', 'cli imports nothing of ours but version', PLAIN),
    ('6 edges', 'api', '', API),
    ('5 roles', 'compute.api, conductor, scheduler, compute.manager', 'from each other only the rpcapi', CONDUCTOR),
    ('4 machines', 'virt', 'never db, never rpc', COMPUTE),
    ('3 neighbours', 'image, network, volume', 'never db, but for the local backends', SCHEDULER),
    ('2 wire', 'rpc, service, servicegroup, */rpcapi', '', PLAIN),
    ('1 data', 'objects, db, policy, policies, quota', 'objects: never db', DATABASE),
    ('0 ground', 'version, exception, context, conf, concurrency, utils', '', PLAIN),
]


def floors() -> Picture:
    p = Picture(960, 60 * len(FLOORS) + 40, 'The floors: a module imports from its own floor or from below')
    for number, (name, modules, rule, fill) in enumerate(FLOORS):
        y = 20 + 60 * number
        p.box(20, y, 130, 48, name, fill=fill)
        p.box(160, y, 450, 48, '', fill=fill)
        p.text(175, y + 29, modules)
        p.text(625, y + 29, rule, size=12, colour=GREY)
    p.line([(935, 30), (935, 60 * len(FLOORS))], colour=BLUE)
    p.text(925, 20 + 60 * len(FLOORS), 'may import', size=12, colour=BLUE, anchor='end')
    return p


def states() -> Picture:
    p = Picture(1000, 430, 'The states of an action')
    p.box(30, 160, 130, 60, 'queued', ['behind another'])
    p.box(300, 160, 150, 60, 'running', ['forward'], fill=CONDUCTOR)
    p.box(610, 160, 150, 60, 'unwinding', ['backward'], fill=SCHEDULER)
    p.box(300, 30, 150, 50, 'done', fill=CONDUCTOR)
    p.box(610, 30, 150, 50, 'failed', fill=COMPUTE)
    p.box(455, 330, 150, 60, 'stuck', ['waits for an operator'], fill=COMPUTE)
    p.line([(225, 250), (300, 210)])
    p.text(30, 268, 'an accepted request begins here', size=12)
    p.line([(160, 180), (300, 180)])
    p.text(230, 154, 'the one before ended,', size=12, anchor='middle')
    p.text(230, 170, 'or placed it', size=12, anchor='middle')
    p.line([(95, 160), (95, 16), (580, 16), (650, 30)], dashed=True)
    p.text(104, 34, 'the leader of its request', size=12)
    p.text(104, 50, 'found no host', size=12)
    p.line([(375, 160), (375, 80)])
    p.text(383, 124, 'last step', size=12)
    p.line([(450, 175), (610, 175)])
    p.text(530, 150, 'a step failed,', size=12, anchor='middle')
    p.text(530, 166, 'or cancel', size=12, anchor='middle')
    p.line([(610, 205), (450, 205)], dashed=True)
    p.text(530, 224, 'reschedule', size=12, anchor='middle')
    p.line([(685, 160), (685, 80)])
    p.text(693, 124, 'all is undone', size=12)
    p.line([(360, 220), (480, 330)])
    p.text(392, 276, 'behind a pivot:', size=12, anchor='end')
    p.text(410, 292, '10 failures', size=12, anchor='end')
    p.line([(700, 220), (580, 330)])
    p.text(660, 290, 'an undo: 10 failures', size=12)
    p.line([(530, 330), (440, 220)], colour=BLUE, dashed=True)
    p.line([(545, 330), (630, 220)], colour=BLUE, dashed=True)
    p.text(537, 262, 'action retry', size=12, colour=BLUE, anchor='middle', back=True)
    p.line([(605, 365), (850, 365), (850, 55), (760, 55)], colour=BLUE, dashed=True)
    p.text(858, 220, 'action abandon', size=12, colour=BLUE)
    return p


#: (name, what it looks at, share of the width that is left after it)
FUNNEL = [
    ('all hosts', 'the columns: polled each second, and changed by each claim of its own', 1.0),
    ('IgnoredHosts, RequestedHost', 'hosts tried before; a host that the request names', 0.94),
    ('enabled_filters', 'ours, in the order of the configuration: a mask over the columns each', 0.80),
    ('Traits, ResourceClasses', 'trait: and resources: of flavor and image', 0.72),
    ('filters of others', 'host_passes(), one host at a time, on what is left', 0.64),
    ('VCPU, MEMORY_MB, DISK_GB', 'room: (total - reserved) x ratio - what is claimed', 0.54),
    ('weighers', 'each scaled to 0..1 among those left, times its multiplier, summed', 0.54),
    ('best of host_subset_size', 'equals in a random order', 0.36),
]


def funnel() -> Picture:
    p = Picture(1060, 60 * len(FUNNEL) + 150, 'How the scheduler comes from all hosts to one')
    full, left, y, before = 430.0, 20.0, 20, 1.0
    for name, words, share in FUNNEL:
        wide, less = full * before, full * share
        p.shape([(left + (full - wide) / 2, y), (left + (full + wide) / 2, y),
                 (left + (full + less) / 2, y + 48), (left + (full - less) / 2, y + 48)], SCHEDULER)
        p.text(left + full / 2, y + 29, name, bold=True, anchor='middle')
        p.text(480, y + 29, words, size=12)
        y, before = y + 60, share
    centre = left + full / 2
    p.line([(centre, y - 12), (centre, y + 14)])
    p.box(centre - 170, y + 14, 340, 62, 'the claim: one transaction',
          ['locks servers, groups, nodes; counts again'], fill=DATABASE)
    p.line([(centre + 170, y + 45), (1035, y + 45), (1035, 44), (1015, 44)], colour=RED, dashed=True)
    p.text(480, y + 38, 'somebody else took the room: the counted sums replace ours,', size=12, colour=RED)
    p.text(480, y + 62, 'and it picks again, at most 10 times', size=12, colour=RED)
    return p


def lab() -> Picture:
    p = Picture(1000, 600, 'The lab: several hosts on one machine')
    p.box(10, 10, 980, 580, '', fill='#ffffff')
    p.text(24, 32, 'one machine', bold=True)
    p.box(40, 48, 920, 150, '', dashed=True)
    p.text(54, 70, 'control, on the machine itself', bold=True)
    p.box(60, 84, 110, 46, 'api', fill=API)
    p.box(200, 84, 150, 46, 'conductor 1, 2', fill=CONDUCTOR)
    p.box(380, 84, 150, 46, 'scheduler 1, 2', fill=SCHEDULER)
    p.box(560, 84, 150, 46, 'MariaDB', fill=DATABASE)
    p.box(740, 84, 200, 46, 'RabbitMQ')
    p.text(60, 156, 'on 127.0.0.1 only', size=12, colour=GREY)
    p.text(740, 156, 'on 10.99.0.1, with a password', size=12, colour=GREY)
    p.text(60, 182, 'run/lab/state/images: all hosts read it', size=12, colour=GREY)
    p.box(40, 232, 920, 34, 'bridge lab-br, 10.99.0.0/24: only the broker can be reached through it', fill=PLAIN)
    p.line([(932, 130), (932, 232)], colour=BLUE, start=True, dashed=True)
    for number in range(3):
        _lab_host(p, 40 + 316 * number, number + 1)
    p.line([(308, 430), (376, 430)], colour=RED, start=True)
    p.line([(624, 430), (692, 430)], colour=RED, start=True)
    p.text(342, 420, 'TLS', size=12, colour=RED, anchor='middle', bold=True)
    p.text(658, 420, 'TLS', size=12, colour=RED, anchor='middle', bold=True)
    return p


def _lab_host(p: Picture, x: float, number: int) -> None:
    """One of the hosts: its cable, and what is its own."""
    p.line([(x + 144, 266), (x + 144, 316)], width=3, end=False, colour=BLUE)
    p.text(x + 154, 296, f'veth: partition host{number}', size=12, colour=BLUE)
    p.box(x, 316, 288, 254, '', dashed=True)
    p.text(x + 14, 338, f'host{number}, 10.99.0.{10 + number}', bold=True)
    p.box(x + 20, 350, 248, 34, 'minicompute-compute', fill=COMPUTE)
    p.box(x + 20, 394, 248, 60, 'libvirtd, virtlogd', ['16514: a certificate of the lab'])
    p.box(x + 20, 464, 118, 34, 'guest')
    p.box(x + 150, 464, 118, 34, 'guest')
    for place, words in enumerate(('own network, mounts, name, processes;', 'own /run, /etc/libvirt, /var/lib/libvirt;',
                                   'own disks, or one directory for all')):
        p.text(x + 20, 520 + 18 * place, words, size=12, colour=GREY)


def openstack() -> Picture:
    p = Picture(1000, 470, 'minicompute among the services of OpenStack')
    p.box(40, 30, 250, 64, 'clients', ['openstack, Horizon, Terraform,', 'Ansible, Heat: unchanged'])
    p.box(375, 30, 250, 64, 'Keystone', ["its catalog's `compute` entry", 'points at our api'], fill=DATABASE)
    p.line([(290, 52), (375, 52)])
    p.text(332, 46, 'token', size=12, anchor='middle')
    p.box(40, 200, 200, 74, 'api', ['keystonemiddleware', 'checks tokens'], fill=API)
    p.box(300, 200, 200, 74, 'conductor', ['acts as the service user'], fill=CONDUCTOR)
    p.box(560, 196, 130, 54, 'scheduler', ['no Placement'], fill=SCHEDULER)
    p.box(300, 365, 200, 74, 'compute', ['one a node'], fill=COMPUTE)
    p.box(40, 365, 200, 74, 'api-metadata', ['behind Neutron\'s agent'], fill=API)
    p.line([(140, 94), (140, 200)])
    p.text(148, 150, 'compute API, 2.1 to 2.104', size=12)
    p.line([(240, 225), (300, 225)], colour=BLUE, dashed=True)
    p.line([(500, 225), (560, 225)], colour=GREEN)
    p.line([(400, 274), (400, 365)], colour=BLUE, dashed=True, start=True)
    for place, (name, words) in enumerate((('Glance', 'images, snapshots'), ('Neutron', 'ports, bindings'),
                                           ('Cinder', 'attachments'))):
        y = 150 + 104 * place
        p.box(790, y, 170, 64, name, [words], fill=DATABASE)
        p.line([(500, 262), (740, 262), (740, y + 32), (790, y + 32)], colour=GREEN, end=True)
    p.line([(790, 300), (718, 300), (718, 320), (140, 320), (140, 274)], colour=RED)
    p.text(430, 314, 'events: network-vif-plugged, volume-extended', size=12, colour=RED,
           anchor='middle', back=True)
    p.line([(790, 276), (765, 276), (765, 455), (140, 455), (140, 439)], colour=GREY)
    p.text(635, 448, "169.254.169.254 through Neutron's metadata agent", size=12, colour=GREY, anchor='middle')
    return p


def openstack_move() -> Picture:
    p = Picture(1000, 330, 'From Nova to minicompute, host by host, and back')
    p.box(30, 30, 250, 60, 'Nova: databases', ['read, never written'], fill=DATABASE)
    p.box(720, 30, 250, 60, 'minicompute: database', fill=DATABASE)
    p.line([(280, 60), (720, 60)], colour=GREEN)
    p.text(500, 50, 'minicompute-manage import nova [--host H] --apply', anchor='middle', colour=GREEN)
    p.text(500, 80, 'one transaction; again as often as you like', size=12, anchor='middle', colour=GREEN)
    for place, (name, lines, fill) in enumerate((
            ('node-1', ['minicompute-compute', 'adopted its guests'], COMPUTE),
            ('node-2', ['nova-compute stopped,', 'import, our compute starts'], SCHEDULER),
            ('node-3', ['nova-compute', 'as ever'], PLAIN))):
        x = 30 + 325 * (2 - place)
        p.box(x, 170, 290, 84, name, lines, fill=fill)
        p.text(x + 145, 275, 'guests run on', size=12, anchor='middle', colour=GREY)
    p.line([(155, 170), (155, 90)], colour=GREY)
    p.line([(845, 170), (845, 90)], colour=GREY)
    p.line([(320, 212), (355, 212)], colour=INK)
    p.line([(645, 212), (680, 212)], colour=INK)
    p.line([(825, 290), (825, 312), (175, 312), (175, 290)], colour=RED, dashed=True)
    p.text(500, 306, 'back: stop our compute, start nova-compute', size=12, anchor='middle', colour=RED, back=True)
    return p


if __name__ == '__main__':
    for make in (daemons, boot, floors, states, funnel, lab, openstack, openstack_move):
        make().save(HERE / f'{make.__name__}.svg')
