"""What every verb is made of: cliff's commands without what costs time at the start."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cliff import command, lister, show

from minicompute.cli import errors

if TYPE_CHECKING:
    from minicompute.cli.client import Client

# cliff finds formatters by stevedore, which reads the metadata of all that is installed: 0.15 s at each
# start.
FORMATTERS = {
    'csv': 'cliff.formatters.commaseparated:CSVLister',
    'json': 'cliff.formatters.json_format:JSONFormatter',
    'shell': 'cliff.formatters.shell:ShellFormatter',
    'table': 'cliff.formatters.table:TableFormatter',
    'value': 'cliff.formatters.value:ValueFormatter',
    'yaml': 'cliff.formatters.yaml_format:YAMLFormatter',
}


class _Formatter:
    """What cliff expects of a stevedore extension."""

    def __init__(self, name: str) -> None:
        module, _colon, attribute = FORMATTERS[name].partition(':')
        self.name = name
        self.obj = getattr(importlib.import_module(module), attribute)()


class _Formatters:
    """What cliff expects of a stevedore manager."""

    def __init__(self, *names: str) -> None:
        self._plugins = {name: _Formatter(name) for name in names}

    def names(self) -> list[str]:
        return list(self._plugins)

    def __iter__(self) -> Iterator[_Formatter]:
        return iter(self._plugins.values())

    def __getitem__(self, name: str) -> _Formatter:
        return self._plugins[name]


class Base:
    """Mixed into cliff's commands. A verb declares its options in `arguments` and acts in `take_action`."""

    app: Any

    def _load_hooks(self) -> None:
        self._hooks: Any = []

    def get_epilog(self) -> str:
        return ''

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)  # type: ignore[misc]
        parser.error = one_line_error(parser.prog)
        self.arguments(parser)
        return parser

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Hook: add this verb's options."""

    @property
    def client(self) -> Client:
        return self.app.client

    def say(self, text: str) -> None:
        """A line for a person; a program that asked for JSON does not get it."""
        if not self.app.options.json and self.app.options.verbose_level > 0:
            print(text, file=self.app.stdout)

    def each(self, names: Iterable[str], act: Callable[[str], Any]) -> None:
        """Do it for all, report each failure in its line, fail at the end if one did."""
        worst = 0
        for name in names:
            try:
                act(name)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as exc:
                if self.app.options.debug:
                    raise
                code, line = errors.classify(exc)
                print(f'{self.app.NAME}: {line}', file=sys.stderr)
                worst = max(worst, code)
        if worst:
            raise errors.Reported(worst)


class Command(Base, command.Command):
    """A verb that prints nothing, or text."""


class Lister(Base, lister.Lister):
    """A verb that prints a table of records."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.set_defaults(print_empty=True)       # titles say more than a blank line
        return parser

    @property
    def formatter_default(self) -> str:
        return 'json' if self.app.options.json else 'table'

    def _load_formatter_plugins(self) -> Any:
        return _Formatters('csv', 'json', 'table', 'value', 'yaml')


class ShowOne(Base, show.ShowOne):
    """A verb that prints one record."""

    @property
    def formatter_default(self) -> str:
        return 'json' if self.app.options.json else 'table'

    def _load_formatter_plugins(self) -> Any:
        return _Formatters('json', 'shell', 'table', 'value', 'yaml')


def one_line_error(prog: str) -> Callable[[str], Any]:
    def error(message: str) -> None:
        raise errors.UsageError(f"{message} (see '{prog} --help')")
    return error


def pairs(words: Iterable[str], what: str = '--meta') -> dict[str, str]:
    """`key=value` words as a mapping."""
    result = {}
    for word in words:
        key, equals, value = word.partition('=')
        if not equals or not key:
            raise errors.UsageError(f"{what} takes key=value, not '{word}'")
        result[key] = value
    return result


def boolean(text: str) -> bool:
    """An argparse type."""
    if text.lower() in ('1', 't', 'true', 'on', 'y', 'yes'):
        return True
    if text.lower() in ('0', 'f', 'false', 'off', 'n', 'no', ''):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is not a boolean")


def read_file(path: str, what: str) -> bytes:
    """A file that the user named; `-` is standard input."""
    try:
        if path == '-':
            return sys.stdin.buffer.read()
        with open(path, 'rb') as stream:
            return stream.read()
    except OSError as exc:
        raise errors.UsageError(f"Can't read {what} '{path}': {exc.strerror}") from None
