"""minicompute-status upgrade check: may this version's daemons be started on these records?

Exit codes as of nova-status: 0 all is well, 1 there are warnings, 2 something must be done first, 255 the
check itself failed.
"""
from minicompute import concurrency

concurrency.setup(concurrency.THREADING)

import dataclasses
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import kombu
import oslo_messaging as messaging
from oslo_config import cfg
from oslo_db import exception as db_exc

from minicompute import conf, exception, rpc, servicegroup
from minicompute.cmd.api import is_loopback
from minicompute.cmd.manage import ask_once, explain
from minicompute.conf import CONF
from minicompute.db import migration, session
from minicompute.db.api import owed, services, stuck
from minicompute.objects import ActionState

PROG = 'minicompute-status'
SUCCESS, WARNING, FAILURE = 0, 1, 2
UNEXPECTED = 255
WORDS = {SUCCESS: 'Success', WARNING: 'Warning', FAILURE: 'Failure'}
#: daemons below this version do not understand what ours say
OLDEST_SERVICE = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    code: int
    details: str = ''


def check_database() -> Result:
    """The tables are those of this version."""
    current, head = migration.current(), migration.head()
    if current == head:
        return Result(SUCCESS)
    return Result(FAILURE, f'The database is at revision {current or "none"} and this version needs {head}: '
                           'run minicompute-manage db sync.')


def check_services() -> Result:
    """All daemons that run understand ours."""
    with session.read() as conn:
        now, found = session.now(conn), services.every(conn)
    alive = [s for s in found if servicegroup.is_up(s, now)]
    old = [f'{s.binary} on {s.host} ({s.version})' for s in alive if s.version < OLDEST_SERVICE]
    if old:
        return Result(FAILURE, f'Too old for version {servicegroup.SERVICE_VERSION}: {", ".join(old)}. Upgrade them '
                               'to the release before this one first.')
    behind = [f'{s.binary} on {s.host}' for s in alive if s.version < servicegroup.SERVICE_VERSION]
    if behind:
        return Result(WARNING, f'Not upgraded yet: {", ".join(behind)}. New features wait for them.')
    missing = {servicegroup.COMPUTE, servicegroup.CONDUCTOR, servicegroup.SCHEDULER} - {s.binary for s in alive}
    if found and missing:
        return Result(WARNING, f'Nobody reports as {", ".join(sorted(missing))}.')
    return Result(SUCCESS)


def check_stuck() -> Result:
    """Nothing waits for an operator."""
    with session.read() as conn:
        waiting = stuck.find(conn, [ActionState.STUCK])
    if waiting:
        return Result(WARNING, f'{len(waiting)} operations are stuck: see minicompute-manage action list --stuck, '
                               'then retry or abandon them.')
    return Result(SUCCESS)


def check_debts() -> Result:
    """No neighbour has refused for a day what it is owed."""
    with session.read() as conn:
        refused = [row for row in owed.at_neighbours(conn) if owed.given_up(row)]
    if refused:
        return Result(WARNING, f'{len(refused)} things that Glance, Neutron or Cinder are owed were refused and are '
                               'given up: see minicompute-manage debt list, then retry or forget them.')
    return Result(SUCCESS)


def check_broker() -> Result:
    """transport_url names a broker that lets us in."""
    try:
        rpc.transport()
        url = messaging.TransportURL.parse(CONF)
    except messaging.MessagingException as error:
        return Result(FAILURE, f'transport_url is not right: {error}')
    if url.transport != 'rabbit':
        return Result(SUCCESS)
    if not url.hosts:
        return Result(WARNING, 'transport_url is not set: the default is a broker on this machine, as guest.')
    said = [_log_in(host, url.virtual_host or '/') for host in url.hosts]
    wrong = [line for line in said if line]
    if len(wrong) == len(said):
        return Result(FAILURE, f'No broker of transport_url lets us in: {"; ".join(wrong)}.')
    return Result(WARNING if wrong else SUCCESS, '; '.join(wrong))


def _log_in(host: Any, virtual_host: str) -> str:
    """-> what is wrong, or nothing."""
    port = host.port or 5672
    try:
        with kombu.Connection(hostname=host.hostname, port=port, userid=host.username or 'guest',
                              password=host.password or 'guest', virtual_host=virtual_host,
                              ssl=CONF.oslo_messaging_rabbit.ssl, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
        return ''
    except Exception as error:
        return f'{host.hostname}:{port}: {" ".join(str(error).split())}'


def check_configuration() -> Result:
    """Settings that cannot be meant."""
    if CONF.api.auth_strategy == 'noauth2' and not is_loopback(CONF.osapi_compute_listen) and (
            not CONF.api.allow_noauth2_anywhere):
        return Result(FAILURE, '[api] auth_strategy is noauth2 and osapi_compute_listen is '
                               f'{CONF.osapi_compute_listen}: the api will refuse to start.')
    if CONF.service_down_time <= CONF.report_interval:
        return Result(FAILURE, f'service_down_time ({CONF.service_down_time}) must be well above report_interval '
                               f'({CONF.report_interval}), or every daemon is down between two heartbeats.')
    if str(CONF.database.connection).startswith('sqlite') and _hosts() > 1:
        return Result(WARNING, 'Daemons of several hosts report, and the database is SQLite: only MariaDB and '
                               'PostgreSQL can be shared between hosts.')
    return Result(SUCCESS)


def _hosts() -> int:
    with session.read() as conn:
        return len({s.host for s in services.every(conn) if s.binary != servicegroup.COMPUTE})


CHECKS: list[tuple[str, Callable[[], Result]]] = [
    ('Database revision', check_database), ('Configuration', check_configuration),
    ('Message broker', check_broker), ('Versions of the daemons', check_services), ('Stuck operations', check_stuck),
    ('What neighbours refuse', check_debts)]


def upgrade_check(args: Any = None) -> int:
    """Print all results. -> the worst code."""
    worst, lines = SUCCESS, []
    for name, check in CHECKS:
        try:
            result = check()
        except db_exc.DBNonExistentTable:
            result = Result(FAILURE, 'The tables are not there: run minicompute-manage db sync.')
        lines += [f'Check: {name}', f'Result: {WORDS[result.code]}',
                  *textwrap.wrap(f'Details: {result.details or "None"}', 76), '']
        worst = max(worst, result.code)
    _frame('Upgrade Check Results', lines)
    return worst


def _frame(title: str, lines: list[str]) -> None:
    width = max(len(line) for line in [title, *lines])
    rule = f'+{"-" * (width + 2)}+'
    print(rule, f'| {title.ljust(width)} |', rule, sep='\n')
    for line in lines:
        print(f'| {line.ljust(width)} |' if line else rule)


def add_parsers(nouns: Any) -> None:
    verbs = nouns.add_parser('upgrade').add_subparsers(dest='verb', required=True, metavar='VERB')
    verbs.add_parser('check', help='Whether this version may be started.').set_defaults(function=upgrade_check)


def main(argv: list[str] | None = None) -> int:
    CONF.register_cli_opt(cfg.SubCommandOpt('command', title='commands', handler=add_parsers,
                                            description='upgrade check'))
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    ask_once()
    try:
        return int(CONF.command.function(CONF.command))
    except exception.ConfigurationError as error:
        print(f'{PROG}: {error}', file=sys.stderr)
    except db_exc.DBError as error:
        print(f'{PROG}: {explain(error)}', file=sys.stderr)
    return UNEXPECTED


if __name__ == '__main__':
    sys.exit(main())
