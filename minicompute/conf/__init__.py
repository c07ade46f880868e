"""All options, by role.  `CONF` is oslo.config's global one: oslo.messaging needs that.

`setup(argv, config_files)` is called once by each entry point.
"""
from __future__ import annotations

import os

from oslo_config import cfg
from oslo_log import log
from oslo_policy import opts as policy_opts

from minicompute import version
from minicompute.conf import (
    api,
    base,
    beyond,
    compute,
    conductor,
    console,
    database,
    libvirt,
    metadata,
    neighbours,
    quota,
    scheduler,
)

CONF = cfg.CONF
MODULES = (base, api, beyond, compute, conductor, console, database, libvirt, metadata, neighbours, quota, scheduler)

for _module in MODULES:
    for _group, _opts in _module.OPTIONS.items():
        CONF.register_opts(_opts, group=None if _group == 'DEFAULT' else _group)
log.register_options(CONF)

DEFAULT_DIRS = ('/etc/minicompute',)


def default_config_files() -> list[str]:
    """`MINICOMPUTE_CONFIG`, else minicompute.conf in /etc/minicompute, if there."""
    named = os.environ.get('MINICOMPUTE_CONFIG')
    if named:
        return [named]
    paths = [os.path.join(d, 'minicompute.conf') for d in DEFAULT_DIRS]
    return [p for p in paths if os.path.exists(p)]


def setup(argv: list[str], prog: str, config_files: list[str] | None = None) -> None:
    """Parse the command line and the files; exits with one line when they are wrong."""
    policy_opts.set_defaults(CONF, policy_file='policy.yaml')
    log.set_defaults(default_log_levels=[*log.get_default_log_levels(),
                                         'oslo.messaging=INFO', 'oslo_messaging=INFO', 'alembic=WARNING'])
    try:
        CONF(argv, project='minicompute', prog=prog, version=version.__version__,
             default_config_files=default_config_files() if config_files is None else config_files)
        _check_values()
    except (cfg.ConfigFileValueError, cfg.ConfigFileParseError, cfg.ConfigFilesNotFoundError,
            cfg.RequiredOptError, cfg.ConfigFilesPermissionDeniedError) as error:
        raise SystemExit(f'{prog}: configuration: {" ".join(str(error).split())}') from None


def _check_values() -> None:
    """oslo.config parses a value when it is first read; a daemon should not find out after an hour.
    Raises ConfigFileValueError, which names option and value."""
    for module in MODULES:
        for group, opts in module.OPTIONS.items():
            for opt in opts:
                getattr(CONF if group == 'DEFAULT' else CONF[group], opt.dest)


def setup_logging(prog: str) -> None:
    log.setup(CONF, prog, version=version.__version__)
