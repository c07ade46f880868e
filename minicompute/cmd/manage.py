"""minicompute-manage: what an operator does beside the API, straight on the database.

    db sync | db version
    service list | service delete HOST BINARY
    host list
    image-cache list
    action list [--all] | action show ID | action retry ID | action abandon ID [--reason TEXT]
    audit [--mend] [--timeout SECONDS]
    quota show PROJECT | quota set PROJECT RESOURCE LIMIT
    config sample | policy sample
    policy list [PATTERN] | policy check RULE WHO | policy explain RULE WHO
    api diff VERSION VERSION | api routes [--version VERSION] | api openapi VERSION
    import nova --nova-database URL --nova-api-database URL [--apply] [--host HOST]...
    import hand-back --nova-database URL --host HOST [--apply]
    hollow --hosts N [--processes P] [--prefix NAME]
"""
from minicompute import concurrency

concurrency.setup(concurrency.THREADING)

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oslo_config import cfg, generator
from oslo_db import exception as db_exc

from minicompute import conf, exception, servicegroup
from minicompute.cmd import manage_audit, manage_debts, manage_policy
from minicompute.conductor import auditor, flows
from minicompute.conductor.flow import Flow
from minicompute.conf import CONF
from minicompute.conf.quota import DEFAULTS
from minicompute.db import migration, session
from minicompute.db.api import action_log, audit, image_caching, quotas, services, stuck
from minicompute.objects import Action, ActionState

PROG = 'minicompute-manage'


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they need, for people and for awk."""
    lines = [[str('-' if cell in (None, '') else cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    for line in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


# -- db ------------------------------------------------------------------------------

def db_sync(args: argparse.Namespace) -> None:
    before = _revision()
    migration.sync(args.revision)
    print(f'The database is at revision {_revision()} (before: {before or "empty"}).')


def db_version(args: argparse.Namespace) -> None:
    print(f'{_revision() or "empty"} (this version of minicompute: {migration.head()})')


def _revision() -> str | None:
    return migration.current()


# -- services and hosts ----------------------------------------------------------------

def service_list(args: argparse.Namespace) -> None:
    with session.read() as conn:
        now, found = session.now(conn), services.every(conn)
    table(['Id', 'Binary', 'Host', 'Status', 'State', 'Version', 'Last seen'], [
        [s.id, s.binary, s.host, 'disabled' if s.disabled else 'enabled',
         'up' if servicegroup.is_up(s, now) else 'down', s.version, _when(s.last_seen_up)] for s in found])


def service_delete(args: argparse.Namespace) -> None:
    """A daemon that still runs would be back with its next heartbeat."""
    def delete(conn: Any) -> None:
        service = services.find(conn, args.service_host, args.binary)
        if servicegroup.is_up(service, session.now(conn)) and not args.force:
            raise exception.Conflict(f'{args.binary} on {args.service_host} is up: stop it first.')
        services.destroy(conn, service)
    session.write(delete)
    print(f'{args.binary} on {args.service_host} is deleted.')


def host_list(args: argparse.Namespace) -> None:
    with session.read() as conn:
        now, found = session.now(conn), services.hypervisors(conn, usage=True)
    table(['Host', 'State', 'Servers', 'Cores', 'Memory MiB', 'Disk GiB'], [
        [h.node.host, 'up' if servicegroup.is_up(h.service, now) else 'down', h.usage.servers,
         f'{h.usage.vcpus}/{h.node.vcpus}', f'{h.usage.memory_mb}/{h.node.memory_mb}',
         f'{h.usage.disk_gb}/{h.node.local_gb}'] for h in found])


def image_cache_list(args: argparse.Namespace) -> None:
    """What hosts were asked to fetch before a server needs it, and how far they are."""
    with session.read() as conn:
        found = image_caching.every(conn)
    table(['Host', 'Image', 'Aggregate', 'Status', 'Percent', 'Asked', 'Since', 'Message'], [
        [one.host, one.image_id, one.aggregate_id, one.status, one.percent, _when(one.created_at),
         _when(one.updated_at), (one.message or '')[:80]] for one in found])


# -- actions -----------------------------------------------------------------------------

def action_list(args: argparse.Namespace) -> None:
    """Those that run, and those that wait for an operator."""
    states = [*ActionState.LIVE, ActionState.STUCK]
    if args.stuck:
        states = [ActionState.STUCK]
    with session.read() as conn:
        found = stuck.find(conn, states)
    table(['Id', 'Action', 'Server', 'State', 'Step', 'Owner', 'Attempts', 'Since', 'Message'], [
        [a.id, a.action, a.instance_uuid, a.state, a.step, a.owner, a.attempts, _when(a.updated_at),
         (a.message or '')[:80]] for a in found])


def action_show(args: argparse.Namespace) -> None:
    with session.read() as conn:
        action = stuck.get(conn, args.id)
        events = list(reversed(action_log.events_of(conn, args.id)))
    table(['Field', 'Value'], [[name, getattr(action, name)] for name in (
        'id', 'action', 'flow', 'instance_uuid', 'request_id', 'project_id', 'user_id', 'state', 'step', 'owner',
        'generation', 'attempts', 'cancel', 'message')] + [
        ['started', _when(action.start_time)], ['updated', _when(action.updated_at)],
        ['data', ', '.join(sorted(action.data))]])
    print()
    table(['Step', 'Result', 'Host', 'Finished', 'Details'],
          [[e.event, e.result, e.host, _when(e.finish_time), (e.details or '')[:100]] for e in events])


def action_retry(args: argparse.Namespace) -> None:
    action = session.write(stuck.retry, args.id, _past_pivot)
    print(f'Action {args.id} ({action.action} of {action.instance_uuid}) goes on at {action.step}; a conductor '
          f'takes it within {CONF.conductor.sweep_interval:.0f} s.')


def _past_pivot(action: Action) -> bool:
    """Which way the step was going: behind the point of no return it is always forward."""
    flow = Flow.registry.get(action.flow)
    try:
        return flow is not None and flow.past_pivot(action.step)
    except KeyError:
        raise exception.Conflict(f'This version knows no step {action.step} of {action.flow} '
                                 f'(it knows {", ".join(flows.__all__)}).') from None


def action_abandon(args: argparse.Namespace) -> None:
    action = session.write(stuck.abandon, args.id, args.reason)
    print(f'Action {args.id} ({action.action}) is abandoned at {action.step}; '
          f'server {action.instance_uuid} is in ERROR.')


def debt_list(args: argparse.Namespace) -> None:
    """What neighbours are owed, and what they go on refusing."""
    table(['Id', 'Service', 'What', 'Server', 'Since', 'Refused', 'Next', 'Why'], [
        [*row[:4], _when(row[4]), *row[5:]] for row in manage_debts.rows()])


def _when(moment: Any) -> str:
    return '' if moment is None else moment.isoformat(sep=' ', timespec='seconds')


# -- the audit -----------------------------------------------------------------------------

#: exit status when something is found and left as it is
FOUND = 3


def audit_records(args: argparse.Namespace) -> None:
    """What conductors do all the time: to look without touching anything, or while none runs. Hosts are only asked:
    what lies there is mended by them and the conductors."""
    records = auditor.look(audit.checks(), mend=args.mend) + auditor.doubts()
    rows = [(f, 'yours' if not f.safe else 'mended' if args.mend else 'can be mended') for f in records]
    if args.timeout:
        found, down = manage_audit.look(args.timeout)
        rows += [(f, 'its host mends it' if f.safe else 'yours') for f in found]
        if down:
            print(f'Not asked, as they are down: {", ".join(down)}', file=sys.stderr)
    if not rows:
        print('Nothing is wrong.')
        return
    table(['What', 'Whose', 'Now', 'Why'], [[f.kind, f.subject, fate, f.reason] for f, fate in rows])
    if any(fate != 'mended' for _, fate in rows):
        raise SystemExit(FOUND)


# -- quotas, samples -----------------------------------------------------------------------

def quota_show(args: argparse.Namespace) -> None:
    with session.read() as conn:
        limits = quotas.limits(conn, args.project)
    table(['Resource', 'Limit'], [(name, limits[name]) for name in sorted(DEFAULTS)])


def quota_set(args: argparse.Namespace) -> None:
    session.write(quotas.put, {args.resource: args.limit}, args.project)
    print(f'{args.resource} of project {args.project}: {"no bound" if args.limit < 0 else args.limit}')


def config_sample(args: argparse.Namespace) -> None:
    sample = cfg.ConfigOpts()
    generator.register_cli_opts(sample)
    sample(['--namespace', 'minicompute.conf', '--namespace', 'oslo.messaging', '--namespace', 'oslo.log',
            '--namespace', 'oslo.policy', '--namespace', 'keystonemiddleware.auth_token',
            '--namespace', 'minicompute.neighbours'],
           default_config_files=[])
    generator.generate(sample, sys.stdout)


def hollow(args: argparse.Namespace) -> None:
    from minicompute.cmd import hollow as command    # what it needs, no other command does

    command.run(args)


def import_nova(args: argparse.Namespace) -> None:
    from minicompute.cmd import nova    # what it needs, no other command does

    rows, plan = nova.run(args)
    table(['Kind', 'Written' if args.apply else 'To write', 'There already', 'Cannot be taken over'], rows)
    if plan.refusals:
        print()
        table(['Kind', 'Which', 'Why it cannot be taken over'], [[one.kind, one.name, one.reason]
                                                                for one in plan.refusals])
    if not args.apply:
        print('\nNothing was written: --apply does it.')
    if plan.refusals:
        raise SystemExit(nova.LEFT)


def hand_back(args: argparse.Namespace) -> None:
    from minicompute.cmd.nova import LEFT, handback

    rows, refusals = handback.run(args)
    table(['Records', 'Forgotten' if args.apply else 'To forget'], rows)
    if refusals:
        print()
        table(['Which', 'Why it stays'], [[one.name, one.reason] for one in refusals])
    if not args.apply:
        print('\nNothing was forgotten: --apply does it.')
    if refusals:
        raise SystemExit(LEFT)


def policy_list(args: argparse.Namespace) -> None:
    table(['Rule', 'Check', 'From', 'Requests'], manage_policy.rules(args))


def api_routes(args: argparse.Namespace) -> None:
    from minicompute.cmd import manage_api    # loads the whole API, which no other command needs
    table(['Method', 'Path', 'Action', 'Versions', 'Codes', 'Faults', 'Summary'], manage_api.routes(args))


def api_diff(args: argparse.Namespace) -> None:
    from minicompute.cmd import manage_api
    manage_api.diff(args)


def api_openapi(args: argparse.Namespace) -> None:
    from minicompute.cmd import manage_api
    manage_api.document(args)


# -- the command line ------------------------------------------------------------------------

def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError('at least 1')
    return number


Words = list[tuple[str, dict[str, Any]]]
ID: Words = [('id', {'type': int, 'help': 'Number of the action, from action list.'})]
DEBT: Words = [('id', {'type': int, 'help': 'Its number, from debt list.'})]
VERSION: dict[str, Any] = {'metavar': 'VERSION', 'help': "A microversion, such as 2.60, or 'latest'."}
PROJECT: Words = [('project', {'help': 'Id of the project.'})]

#: noun, verb (or none), what it does, help, arguments
COMMANDS: list[tuple[str, str, Callable[[argparse.Namespace], None], str, Words]] = [
    ('db', 'sync', db_sync, 'Bring the tables up to date.',
     [('revision', {'nargs': '?', 'default': 'head', 'help': 'Revision to go to; the newest by default.'})]),
    ('db', 'version', db_version, 'Show which revision the tables have.', []),
    ('service', 'list', service_list, 'List the daemons that ever reported.', []),
    ('service', 'delete', service_delete, 'Forget a daemon that will not come back.', [
        ('service_host', {'metavar': 'host'}), ('binary', {'help': 'nova-compute, nova-conductor or nova-scheduler.'}),
        ('--force', {'action': 'store_true', 'help': 'Also one that is up.'})]),
    ('host', 'list', host_list, 'List the hypervisors with what is used of them.', []),
    ('image-cache', 'list', image_cache_list, 'List the images that hosts were asked to have, and how far they are.',
     []),
    ('action', 'list', action_list, 'List operations that run or are stuck.',
     [('--stuck', {'action': 'store_true', 'help': 'Only those that wait for you.'})]),
    ('action', 'show', action_show, 'Show an operation, step by step.', ID),
    ('action', 'retry', action_retry, 'Let a stuck operation try its step again.', ID),
    ('action', 'abandon', action_abandon, 'End a stuck operation; its server goes to ERROR.',
     [*ID, ('--reason', {'default': '', 'help': 'Shown to the owner of the server.'})]),
    ('debt', 'list', debt_list, 'List what is left to do at Glance, Neutron and Cinder, and why.', []),
    ('debt', 'retry', manage_debts.retry, 'Try one of them again, also one that was given up.', DEBT),
    ('debt', 'forget', manage_debts.forget, 'Do not try it again: what is left there is yours to mend.', DEBT),
    ('audit', '', audit_records, 'Look for what is held for nobody, or missing; exit status 3 when something is left.',
     [('--mend', {'action': 'store_true', 'help': 'Mend what is safe to mend.'}),
      ('--timeout', {'type': float, 'default': 10.0, 'metavar': 'SECONDS',
                     'help': 'Wait so long for what hosts say lies there (default 10; 0: ask none).'})]),
    ('quota', 'show', quota_show, 'Show the limits of a project.', PROJECT),
    ('quota', 'set', quota_set, 'Set one limit of a project; -1 is no bound.',
     [*PROJECT, ('resource', {'choices': sorted(DEFAULTS)}), ('limit', {'type': int})]),
    ('config', 'sample', config_sample, 'Print all options with their help.', []),
    ('policy', 'sample', manage_policy.sample, 'Print all policy rules with their defaults.', []),
    ('policy', 'list', policy_list, 'List the policy rules as they stand now.',
     [('pattern', {'nargs': '?', 'default': '', 'help': 'A part of the names to list.'})]),
    ('policy', 'check', manage_policy.check, 'Ask a rule, as whom you say; exit status 1 when it says no.',
     manage_policy.WHO),
    ('policy', 'explain', manage_policy.explain, 'Show what each part of a rule says to a caller.', manage_policy.WHO),
    ('api', 'diff', api_diff, 'Show what is different between two microversions.', [
        ('before', VERSION), ('after', VERSION),
        ('--json', {'action': 'store_true', 'help': 'Print one object a change.'})]),
    ('api', 'routes', api_routes, 'List the operations of the API.', [('--version', VERSION)]),
    ('api', 'openapi', api_openapi, 'Print the OpenAPI document of a microversion.', [('version', VERSION)]),
    ('import', 'nova', import_nova, "Take over what a Nova has, read from its databases; exit status 3 when something "
     'cannot be taken over. Without --apply it only says what it would do.', [
         ('--nova-database', {'required': True, 'metavar': 'URL', 'help': "Of the cell with the servers (Nova's "
                              '[database] connection).'}),
         ('--nova-api-database', {'required': True, 'metavar': 'URL', 'help': "Nova's [api_database] connection."}),
         ('--apply', {'action': 'store_true', 'help': 'Write it, in one transaction.'}),
         ('--host', {'action': 'append', 'dest': 'hosts', 'metavar': 'HOST',
                     'help': 'Only services and servers of this host; can be given several times.'}),
         ('--force', {'action': 'store_true',
                      'help': 'Also servers of a host whose nova-compute reports still, or did a moment ago.'})]),
    ('import', 'hand-back', hand_back, 'Give a host with its servers back to Nova: they are forgotten here, and no '
     'guest is touched; exit status 3 when some stay. Without --apply it only says what it would do.', [
         ('--nova-database', {'required': True, 'metavar': 'URL', 'help': "Of the cell with the servers (Nova's "
                              '[database] connection).'}),
         ('--host', {'required': True, 'dest': 'of_host', 'metavar': 'HOST',
                     'help': 'Which; our compute there must have stopped.'}),
         ('--apply', {'action': 'store_true', 'help': 'Do it, in one transaction.'}),
         ('--force', {'action': 'store_true', 'help': 'Also servers that were changed here since.'})]),
    ('hollow', '', hollow, 'Run computes with the fake driver, as many as you like: they need transport_url only.', [
        ('--hosts', {'type': positive, 'required': True, 'metavar': 'N', 'help': 'How many.'}),
        ('--processes', {'type': positive, 'metavar': 'P', 'help': 'In so many processes; one for 2,500 hosts.'}),
        ('--prefix', {'default': 'hollow', 'metavar': 'NAME',
                      'help': 'They are called NAME-00001 and so on. One name for each run at a time.'})]),
]


def add_parsers(nouns: Any) -> None:
    """oslo.config calls this with the subparsers of the command line."""
    groups: dict[str, Any] = {}
    for noun, verb, function, text, words in COMMANDS:
        if verb and noun not in groups:
            groups[noun] = nouns.add_parser(noun).add_subparsers(dest='verb', required=True, metavar='VERB')
        parser = (groups[noun].add_parser(verb, help=text, description=text) if verb
                  else nouns.add_parser(noun, help=text, description=text))
        for name, options in words:
            parser.add_argument(name, **options)
        parser.set_defaults(function=function)


def main(argv: list[str] | None = None) -> int:
    CONF.register_cli_opt(cfg.SubCommandOpt('command', title='commands', handler=add_parsers,
                                            description='See minicompute-manage NOUN --help.'))
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    ask_once()
    if getattr(CONF.command, 'function', None) is None:
        raise SystemExit(f'{PROG}: say what to do, see {PROG} --help')
    try:
        CONF.command.function(CONF.command)
    except exception.ComputeException as error:
        raise SystemExit(f'{PROG}: {error}') from None
    except (db_exc.DBConnectionError, db_exc.DBError) as error:
        raise SystemExit(f'{PROG}: {explain(error)}') from None
    except BrokenPipeError:
        sys.stderr.close()
    return 0


def ask_once() -> None:
    """A person waits: a database that is away is told of, not waited for."""
    CONF.set_override('max_retries', 1, 'database')
    CONF.set_override('retry_interval', 1, 'database')
    logging.getLogger('oslo_db').setLevel(logging.ERROR)


def explain(error: Exception) -> str:
    """One line for what the database said."""
    said = ' '.join(str(getattr(error, 'inner_exception', None) or error).split())
    if isinstance(error, db_exc.DBNonExistentTable):
        return f'the tables are not there: run {PROG} db sync first'
    said = said.split(' (Background on this error')[0]
    return f'the database refuses, is [database] connection right? {said[:300]}'


if __name__ == '__main__':
    sys.exit(main())
