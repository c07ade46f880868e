"""`minicompute`: global options, dispatch, and the way from an exception to an exit code."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import sys
import warnings
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from cliff import app, commandmanager
from cliff import help as cliff_help

from minicompute.cli import errors
from minicompute.cli.base import one_line_error
from minicompute.cli.verbs import VERBS
from minicompute.version import __version__

if TYPE_CHECKING:
    from minicompute.cli.client import Client

# openstacksdk's options cost half a second of imports: they are registered when one of them, or the help, is
# asked for.
SDK_OPTIONS = ('--os-', '--os_', '--insecure', '--timeout', '--collect-timing')


class Verbs(commandmanager.CommandManager):
    def __init__(self) -> None:
        super().__init__(namespace=None)
        for name, target in VERBS.items():
            self.commands[name] = EntryPoint(name=name, value=target, group='minicompute.cli')


class Shell(app.App):
    NAME = 'minicompute'

    def __init__(self, **streams: Any) -> None:
        super().__init__(description='Command line of a compute service with the Nova API.', version=None,
                         command_manager=Verbs(), deferred_help=True, **streams)

    def build_option_parser(self, description: str | None, version: str | None,
                            argparse_kwargs: dict[str, Any] | None = None) -> argparse.ArgumentParser:
        parser = super().build_option_parser(description, version, {
            'allow_abbrev': False, 'prog': self.NAME, 'epilog': errors.EXIT_CODES,
            'formatter_class': argparse.RawDescriptionHelpFormatter, **(argparse_kwargs or {})})
        option = parser._option_string_actions['--version']
        option.version = f'{self.NAME} {__version__}'  # type: ignore[attr-defined]
        parser.error = one_line_error(self.NAME)  # type: ignore[assignment,method-assign]
        parser.add_argument('--json', action='store_true', help='Short for -f json on every command.')
        parser.add_argument(
            '--microversion', '--os-compute-api-version', metavar='<X.Y|latest>',
            default=os.environ.get('OS_COMPUTE_API_VERSION') or 'latest',
            help='Compute microversion; latest (the default) is the newest that both sides know.'
                 ' Env: OS_COMPUTE_API_VERSION.')
        return parser

    def configure_logging(self) -> None:
        """Quiet by default: what happens is said by the verbs. -v: INFO, -vv: requests and answers."""
        root = logging.getLogger('')
        levels = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}
        level = levels.get(self.options.verbose_level, logging.DEBUG)
        root.setLevel(level)
        if self.options.log_file:
            root.setLevel(logging.DEBUG)
            to_file = logging.FileHandler(self.options.log_file)
            to_file.setFormatter(logging.Formatter(self.LOG_FILE_MESSAGE_FORMAT))
            root.addHandler(to_file)
        console = logging.StreamHandler(self.stderr)
        console.setLevel(level)
        console.setFormatter(logging.Formatter(self.CONSOLE_MESSAGE_FORMAT))
        root.addHandler(console)

    @cached_property
    def client(self) -> Client:
        from minicompute.cli.client import Client
        return Client(self.options)

    def run(self, argv: list[str]) -> int:
        try:
            argv = list(argv)
            if not argv:
                argv = ['--help']
            if _wants_sdk_options(argv):
                import openstack.config
                openstack.config.OpenStackConfig().register_argparse_arguments(self.parser, argv)
            self.options, rest = self.parser.parse_known_args(argv)
            self.configure_logging()
            if not self.options.debug:
                warnings.simplefilter('ignore')     # libraries' talk to their developers
            if self.options.deferred_help and rest:
                self.options.deferred_help = False
                rest.insert(0, 'help')
            self.print_help_if_requested()
            if not rest:
                raise errors.UsageError("no command given (see 'minicompute --help')")
            return self.run_subcommand(rest)
        except cliff_help.HelpExit:
            return errors.OK
        except KeyboardInterrupt:
            return errors.INTERRUPTED
        except BrokenPipeError:
            sys.stdout = None  # type: ignore[assignment]
            return errors.BROKEN_PIPE
        except Exception as exc:  # noqa: BLE001 - the one place where errors become lines
            return self.report(exc)

    def run_subcommand(self, argv: list[str]) -> int:
        try:
            factory, name, arguments = self.command_manager.find_command(argv)
        except ValueError:
            raise errors.UsageError(self._unknown(argv[0])) from None
        kwargs = {'cmd_name': name} if 'cmd_name' in inspect.getfullargspec(factory.__init__).args else {}
        command = factory(self, self.options, **kwargs)
        parsed = command.get_parser(f'{self.NAME} {name}').parse_args(arguments)
        return command.run(parsed)

    def _unknown(self, word: str) -> str:
        if word.startswith('-'):
            return f"unrecognized option '{word}' (see 'minicompute --help')"
        near = self.get_fuzzy_matches(word)[:5]
        return f"'{word}' is not a command" + (f"; did you mean {', '.join(near)}?" if near else '')

    def report(self, exc: Exception) -> int:
        debug = self.options.debug if hasattr(self, 'options') else '--debug' in sys.argv
        if debug and not isinstance(exc, errors.Reported):
            logging.getLogger(self.NAME).error('', exc_info=exc)
        code, line = errors.classify(exc)
        if line:
            print(f'{self.NAME}: {line}', file=self.stderr)
        return code


def _wants_sdk_options(argv: list[str]) -> bool:
    ours = ('--os-compute-api-version',)
    if any(word.startswith(SDK_OPTIONS) and not word.startswith(ours) for word in argv):
        return True
    return argv[0] in ('-h', '--help')


def main(argv: list[str] | None = None) -> int:
    return Shell().run(sys.argv[1:] if argv is None else argv)


if __name__ == '__main__':
    sys.exit(main())
