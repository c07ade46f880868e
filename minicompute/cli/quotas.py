"""Quotas of projects, of their users, and of classes."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.client import Client

NETWORK = ('floating_ips', 'fixed_ips', 'security_groups', 'security_group_rules')
INJECTED = ('injected_files', 'injected_file_content_bytes', 'injected_file_path_bytes')
RESOURCES = ('instances', 'cores', 'ram', 'floating_ips', 'fixed_ips', 'metadata_items', *INJECTED, 'key_pairs',
             'security_groups', 'security_group_rules', 'server_groups', 'server_group_members')


def own_project(client: Client, named: str | None) -> str:
    """The project that was named, else the one that we work in."""
    found = named or client.target.session.get_project_id()
    if not found:
        raise errors.UsageError('--tenant must name a project: the credentials belong to none')
    return str(found)


def _rows(quotas: dict[str, Any]) -> list[list[Any]]:
    return [[name, quotas[name]] for name in RESOURCES if name in quotas]


class Show(base.Lister):
    """Show the quotas of a project, or of one of its users."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--tenant', metavar='<tenant-id>', help='ID of the project; default: the own one.')
        parser.add_argument('--user', metavar='<user-id>', help='ID of the user.')
        parser.add_argument('--detail', action='store_true', help='Also what is in use.')

    def take_action(self, args: argparse.Namespace) -> Any:
        project = lookup.segment(own_project(self.client, args.tenant))
        params = {'user_id': args.user} if args.user else {}
        if not args.detail:
            found = self.client.get(f'/os-quota-sets/{project}', params)['quota_set']
            return ['Quota', 'Limit'], _rows(found)
        found = self.client.get(f'/os-quota-sets/{project}/detail', params)['quota_set']
        return ['Quota', 'Limit', 'In Use', 'Reserved'], [
            [name, found[name]['limit'], found[name]['in_use'], found[name]['reserved']]
            for name in RESOURCES if name in found]


class Defaults(base.Lister):
    """Show the quotas that a project has of which nothing was said."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--tenant', metavar='<tenant-id>', help='ID of the project; default: the own one.')

    def take_action(self, args: argparse.Namespace) -> Any:
        project = lookup.segment(own_project(self.client, args.tenant))
        return ['Quota', 'Limit'], _rows(self.client.get(f'/os-quota-sets/{project}/defaults')['quota_set'])


class _Change(base.Command):
    """Options `--cores <n>` and so on, of those that the version in use has."""

    network_ends = 36

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        for name in RESOURCES:
            ends = self.network_ends if name in NETWORK else 57 if name in INJECTED else None
            until = f' (before 2.{ends})' if ends else ''
            parser.add_argument(f'--{name.replace("_", "-")}', type=int, metavar='<n>',
                                help=f'New value of the quota "{name}"; -1: no bound{until}.')

    def wanted(self, args: argparse.Namespace) -> dict[str, int]:
        found = {name: getattr(args, name) for name in RESOURCES if getattr(args, name) is not None}
        for names, ends in ((NETWORK, self.network_ends), (INJECTED, 57)):
            late = [name for name in names if name in found]
            if late and self.client.at_least(ends):
                raise errors.UsageError(f'--{late[0].replace("_", "-")} needs a microversion before 2.{ends}; '
                                        f'{self.client.microversion} is in use')
        return found


class Update(_Change):
    """Change the quotas of a project, or of one of its users."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('tenant', metavar='<tenant-id>', help='ID of the project.')
        parser.add_argument('--user', metavar='<user-id>', help='ID of the user.')
        super().arguments(parser)
        parser.add_argument('--force', action='store_true',
                            help='Also below what is in use or given to users.')

    def take_action(self, args: argparse.Namespace) -> None:
        wanted: dict[str, Any] = self.wanted(args)
        if not wanted:
            return
        if args.force:
            wanted['force'] = True
        self.client.call('PUT', f'/os-quota-sets/{lookup.segment(args.tenant)}', json={'quota_set': wanted},
                         params={'user_id': args.user} if args.user else {})


class Delete(base.Command):
    """Return the quotas of a project, or of one of its users, to the defaults."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--tenant', metavar='<tenant-id>', required=True, help='ID of the project.')
        parser.add_argument('--user', metavar='<user-id>', help='ID of the user.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.delete(f'/os-quota-sets/{lookup.segment(args.tenant)}',
                           {'user_id': args.user} if args.user else {})


class ClassShow(base.Lister):
    """Show the quotas of a class."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('class_name', metavar='<class>', help='Name of the class.')

    def take_action(self, args: argparse.Namespace) -> Any:
        found = self.client.get(f'/os-quota-class-sets/{lookup.segment(args.class_name)}')
        return ['Quota', 'Limit'], _rows(found['quota_class_set'])


class ClassUpdate(_Change):
    """Change the quotas of a class; `default` is what projects have of which nothing was said."""

    network_ends = 50

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('class_name', metavar='<class>', help='Name of the class.')
        super().arguments(parser)

    def take_action(self, args: argparse.Namespace) -> None:
        wanted = self.wanted(args)
        if wanted:
            self.client.put(f'/os-quota-class-sets/{lookup.segment(args.class_name)}', {'quota_class_set': wanted})
