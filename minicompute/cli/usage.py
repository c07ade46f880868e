"""What projects used, and the log of the usage audits."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.client import Client
from minicompute.cli.format import show
from minicompute.cli.quotas import own_project

PATH = '/os-simple-tenant-usage'
TOTALS = ('total_memory_mb_usage', 'total_vcpus_usage', 'total_local_gb_usage')
TITLES = ['Servers', 'RAM MiB-Hours', 'CPU Hours', 'Disk GiB-Hours']


def _period(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--start', metavar='<start>', help='First day, such as 2012-01-20; default: four weeks ago.')
    parser.add_argument('--end', metavar='<end>', help='Last day, such as 2012-01-20; default: tomorrow.')


def _bounds(args: argparse.Namespace) -> tuple[datetime.datetime, datetime.datetime]:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return (_day(args.start, '--start') or now - datetime.timedelta(weeks=4),
            _day(args.end, '--end') or now + datetime.timedelta(days=1))


def _day(text: str | None, option: str) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        return datetime.datetime.strptime(text, '%Y-%m-%d')
    except ValueError:
        raise errors.UsageError(f"{option} takes a day such as 2012-01-20, not '{text}'") from None


def _pages(client: Client, path: str, key: str, params: dict[str, str]) -> Iterator[Any]:
    """From 2.40 on one answer holds so many servers, and the totals are of those alone."""
    while True:
        body = client.get(path, params)
        yield body[key]
        records = body[key] if isinstance(body[key], list) else [body[key]]
        if not body.get(f'{key}_links') or not records[-1].get('server_usages'):
            return
        params = {**params, 'marker': records[-1]['server_usages'][-1]['instance_id']}


def _sum(records: Iterator[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{project: its totals, and `servers`, their number}"""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        mine = found.setdefault(record['tenant_id'], {'servers': 0, **dict.fromkeys(TOTALS, 0.0)})
        mine['servers'] += len(record.get('server_usages') or ())
        for name in TOTALS:
            mine[name] += record[name]
    return found


def _row(totals: dict[str, Any]) -> list[Any]:
    return [totals['servers'], *(round(totals[name], 2) for name in TOTALS)]


class List(base.Lister):
    """Show what all projects used."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _period(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        start, end = _bounds(args)
        params = {'start': start.isoformat(), 'end': end.isoformat(), 'detailed': '1'}
        found = _sum(record for page in _pages(self.client, PATH, 'tenant_usages', params) for record in page)
        self.say(f'Usage from {start:%Y-%m-%d} to {end:%Y-%m-%d}:')
        return ['Tenant ID', *TITLES], [[project, *_row(totals)] for project, totals in found.items()]


class Show(base.Lister):
    """Show what one project used."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _period(parser)
        parser.add_argument('--tenant', metavar='<tenant-id>', help='ID of the project; default: the own one.')

    def take_action(self, args: argparse.Namespace) -> Any:
        start, end = _bounds(args)
        project = own_project(self.client, args.tenant)
        params = {'start': start.isoformat(), 'end': end.isoformat()}
        pages = _pages(self.client, f'{PATH}/{lookup.segment(project)}', 'tenant_usage', params)
        found = _sum(record for record in pages if record)     # of nothing: an empty object
        self.say(f'Usage from {start:%Y-%m-%d} to {end:%Y-%m-%d}:')
        return TITLES, [_row(totals) for totals in found.values()]


class AuditLog(base.ShowOne):
    """Show which hosts' usage of the last period was written down."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--before', metavar='<before>',
                            help='Of the last period over before this time: CCYY-MM-DD hh:mm:ss[.NNNNNN].')

    def take_action(self, args: argparse.Namespace) -> Any:
        path = '/os-instance_usage_audit_log'
        if args.before is None:
            return show(self.client.get(path)['instance_usage_audit_logs'])
        return show(self.client.get(f'{path}/{lookup.segment(args.before)}')['instance_usage_audit_log'])
