"""Loads the WSGI stack that api-paste.ini describes."""
from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

from paste.deploy import loadapp

from minicompute import exception
from minicompute.conf import CONF

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Where the file lies in a checkout, and where a wheel has put it.
SHIPPED = (pathlib.Path(__file__).resolve().parents[2] / 'etc' / 'minicompute',
           pathlib.Path(sys.prefix) / 'etc' / 'minicompute')


def find_config() -> pathlib.Path:
    """[api] paste_config: absolute, or beside the configuration file, in /etc/minicompute, or as it was shipped."""
    name = CONF.api.paste_config
    found = name if pathlib.Path(name).is_absolute() else CONF.find_file(name)
    for path in ([pathlib.Path(found)] if found else []) + [place / name for place in SHIPPED]:
        if path.is_file():
            return path
    raise exception.ConfigurationError(
        reason=f'{name} is not found: copy etc/minicompute/api-paste.ini beside minicompute.conf, '
               'or say where it is in [api] paste_config')


def load(name: str = 'osapi_compute') -> WSGIApplication:
    path = find_config()
    try:
        app: WSGIApplication = loadapp(f'config:{path}', name=name)
    except (LookupError, ImportError, AssertionError) as error:
        raise exception.ConfigurationError(reason=f'{path}: {error}') from error
    return app
