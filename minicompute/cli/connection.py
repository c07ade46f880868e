"""From environment, clouds.yaml and --os-* options to a keystoneauth session and the endpoints to use.

The common way is openstacksdk's configuration. The one shortcut is a pure `OS_AUTH_TYPE=none` environment: openstacksdk
would take half a second of imports to arrive at the same session.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import Any

from minicompute.cli import errors
from minicompute.version import __version__

APP_NAME = 'minicompute'
SERVICES = ('compute', 'image', 'network')


@dataclass
class Target:
    """A session, and per service what an adapter needs to know."""

    session: Any
    region: Any = None                                   # openstack.config.cloud_region.CloudRegion, once loaded
    overrides: dict[str, str] = field(default_factory=dict)
    interface: Any = None
    region_name: str | None = None
    noauth: bool = False


def connect(options: argparse.Namespace) -> Target:
    if _plain_noauth(options):
        return _noauth_target()
    return _sdk_target(options)


def _plain_noauth(options: argparse.Namespace) -> bool:
    env = os.environ
    return env.get('OS_AUTH_TYPE') == 'none' and not env.get('OS_CLOUD') and not hasattr(options, 'os_cloud')


def _noauth_target() -> Target:
    from keystoneauth1 import session as ks_session

    from minicompute.cli import noauth

    env = os.environ
    overrides = {service: url for service in SERVICES if (url := env.get(f'OS_{service.upper()}_ENDPOINT_OVERRIDE'))}
    endpoint = overrides.get('compute') or env.get('OS_ENDPOINT_OVERRIDE') or env.get('OS_ENDPOINT')
    if not endpoint:
        raise errors.AuthError('OS_AUTH_TYPE is none: OS_ENDPOINT_OVERRIDE must name the compute endpoint,'
                               ' such as http://127.0.0.1:8774/v2.1')
    overrides['compute'] = endpoint
    verify: bool | str = env.get('OS_CACERT') or env.get('OS_INSECURE', '').lower() not in ('1', 'true', 'yes')
    session = ks_session.Session(auth=noauth.Identity.from_env(endpoint, env), verify=verify,
                                 app_name=APP_NAME, app_version=__version__)
    return Target(session, overrides=overrides, noauth=True)


def _sdk_target(options: argparse.Namespace) -> Target:
    import openstack.config

    loader = openstack.config.OpenStackConfig(app_name=APP_NAME, app_version=__version__)
    region = loader.get_one(argparse=options if hasattr(options, 'os_cloud') else None)
    config = region.config
    overrides = {service: url for service in SERVICES if (url := region.get_endpoint(service))}
    general = config.get('endpoint_override') or config.get('endpoint')
    if general and not (config.get('compute_endpoint_override') or config.get('compute_endpoint')):
        overrides['compute'] = general
    session = region.get_session()
    noauth = config.get('auth_type') == 'none'
    if noauth:
        _say_who(session, config, overrides)
    return Target(session, region, overrides, region.get_interface('compute'),
                  region.get_region_name('compute'), noauth)


def _say_who(session: Any, config: dict[str, Any], overrides: dict[str, str]) -> None:
    """The same plugin as without clouds.yaml; `auth: endpoint:` there is compute's, and nobody else's."""
    from minicompute.cli import noauth

    auth = config.get('auth') or {}
    env = {f'OS_{key.upper()}': value for key, value in auth.items() if isinstance(value, str)}
    env = {**os.environ, **env}
    for service in ('image', 'network'):
        if overrides.get(service) == auth.get('endpoint'):
            overrides.pop(service, None)
    if 'compute' not in overrides:
        raise errors.AuthError('auth_type is none: compute_endpoint_override must name the compute endpoint')
    session.auth = noauth.Identity.from_env(overrides['compute'], env)


def compute_adapter(target: Target) -> Any:
    from keystoneauth1 import adapter

    override = target.overrides.get('compute')
    return adapter.Adapter(
        target.session, service_type='compute', interface=target.interface or 'public', region_name=target.region_name,
        endpoint_override=override.rstrip('/') if override else None)


def sdk_connection(target: Target) -> Any:
    """openstacksdk's Connection on the same session, for images and networks."""
    from openstack import connection
    from openstack.config import cloud_region

    region = target.region
    if region is None or target.noauth:
        settings = {f'{service}_endpoint_override': url for service, url in target.overrides.items()}
        region = cloud_region.from_session(target.session, name=APP_NAME, app_name=APP_NAME,
                                           app_version=__version__, **settings)
    return connection.Connection(config=region)
