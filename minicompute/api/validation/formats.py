"""The `format`s of our schemas. Each function takes any value (what is not a string passes) and raises
`FormatError`, whose text completes 'Invalid input for field/attribute NAME. Value: X. '."""
from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from jsonschema import FormatChecker
from oslo_utils import timeutils

MAX_INTEGER = 0x7FFFFFFF


class FormatError(ValueError):
    pass


Format = Callable[[Any], None]
FORMATS: dict[str, Format] = {}
CHECKER = FormatChecker(formats=())

_UUID = re.compile(r'^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$(?!\n)')


def _format(name: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    def register(function: Callable[[str], None]) -> Callable[[str], None]:
        def check(value: Any) -> None:
            if isinstance(value, str):
                function(value)

        def for_jsonschema(value: Any) -> bool:
            check(value)
            return True
        FORMATS[name] = check
        CHECKER.checks(name, raises=FormatError)(for_jsonschema)
        return function
    return register


def _printable(value: str) -> bool:
    """No control, unassigned, surrogate or private characters; any kind of space is fine."""
    return value.isprintable() or all(
        unicodedata.category(char) not in ('Cc', 'Cf', 'Cn', 'Co', 'Cs', 'Zl', 'Zp') for char in value)


@_format('name')
def name(value: str) -> None:
    if not value or not _printable(value) or value[0].isspace() or value[-1].isspace():
        raise FormatError('It must be printable, of at least one character, and must not begin or end with space.')


@_format('name_with_spaces')
def name_with_spaces(value: str) -> None:
    if not value.strip() or not _printable(value):
        raise FormatError('It must be printable and must hold more than space.')


@_format('printable')
def printable(value: str) -> None:
    if not _printable(value):
        raise FormatError('It must be printable.')


@_format('text')
def text(value: str) -> None:
    if '\x00' in value:
        raise FormatError('It must not hold a NUL character.')


@_format('keypair_name_2_92')
def keypair_name(value: str) -> None:
    if not re.fullmatch(r'[a-zA-Z0-9@. _-]+', value) or value != value.strip():
        raise FormatError("It may hold letters, digits, '@', '.', '_', '-' and inner spaces.")


@_format('keypair_name')
def keypair_name_before(value: str) -> None:
    if not re.fullmatch(r'[a-zA-Z0-9 _-]+', value) or value != value.strip():
        raise FormatError("It may hold letters, digits, '_', '-' and inner spaces.")


@_format('uuid')
def is_uuid(value: str) -> None:
    if not _UUID.match(value):
        raise FormatError(f"'{value[:64]}' is not a 'uuid'")


@_format('ipv4')
def ipv4(value: str) -> None:
    _parsed(ipaddress.IPv4Address, value, 'ipv4')


@_format('ipv6')
def ipv6(value: str) -> None:
    if '%' in value:
        raise FormatError(f"'{value[:64]}' is not a 'ipv6'")
    _parsed(ipaddress.IPv6Address, value, 'ipv6')


@_format('cidr')
def cidr(value: str) -> None:
    if '/' not in value:
        raise FormatError(f"'{value[:64]}' is not a 'cidr'")
    _parsed(ipaddress.ip_network, value, 'cidr')


def _parsed(parse: Callable[[str], Any], value: str, kind: str) -> None:
    try:
        parse(value)
    except ValueError:
        raise FormatError(f"'{value[:64]}' is not a '{kind}'") from None


@_format('date-time')
def date_time(value: str) -> None:
    try:
        timeutils.normalize_time(timeutils.parse_isotime(value)) if len(value) <= 64 else _refuse()
    except (ValueError, OverflowError):
        raise FormatError(f"'{value[:64]}' is not a 'date-time'") from None


def _refuse() -> datetime.datetime:
    raise ValueError


@_format('uri')
def is_uri(value: str) -> None:
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit('')
    if not parts.scheme or not parts.netloc:
        raise FormatError(f"'{value[:64]}' is not a 'uri'")


@_format('base64')
def is_base64(value: str) -> None:
    """As Nova sees it: letters that base64 does not know count for nothing."""
    try:
        base64.b64decode(value)
    except (ValueError, binascii.Error):
        raise FormatError('It is not base64.') from None


@_format('regex')
def regex(value: str) -> None:
    text(value)
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        raise FormatError(f"'{value[:64]}' is not a 'regex'") from None


@_format('non_negative_int')
def non_negative_int(value: str) -> None:
    _digits(value, 0)


@_format('positive_int')
def positive_int(value: str) -> None:
    _digits(value, 1)


@_format('limit_int')
def limit_int(value: str) -> None:
    """-1: no bound."""
    if value.startswith('-'):
        if value.lstrip('-0') != '1' or not re.fullmatch('-[0-9]+', value):
            raise FormatError(f'It must be a whole number from -1 to {MAX_INTEGER}.')
    else:
        _digits(value, 0)


@_format('positive_number')
def positive_number(value: str) -> None:
    if not re.fullmatch(r'[0-9]{1,38}(\.[0-9]{1,38})?', value) or float(value) <= 0:
        raise FormatError('It must be a number above 0.')


def _digits(value: str, low: int) -> None:
    if not re.fullmatch('[0-9]{1,10}', value) or not low <= int(value) <= MAX_INTEGER:
        raise FormatError(f'It must be a whole number from {low} to {MAX_INTEGER}.')
