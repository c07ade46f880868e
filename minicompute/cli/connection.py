"""From environment, clouds.yaml and --os-* options to a keystoneauth session and the endpoints to use.

The common way is openstacksdk's configuration. The one shortcut is a pure `OS_AUTH_TYPE=none` environment:
openstacksdk would take half a second of imports to arrive at the same session.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import Any

from minicompute.cli import errors
from minicompute.version import __version__

APP_NAME = 'minicompute'
SERVICES = ('compute', 'image', 'network', 'volume')


@dataclass
class Target:
    """A session, and per service what an adapter needs to know."""

    session: Any
    region: Any = None                      # openstack.config.cloud_region.CloudRegion, once loaded
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
    overrides = {service: url for service in SERVICES
                 if (url := env.get(f'OS_{service.upper()}_ENDPOINT_OVERRIDE'))}
    endpoint = overrides.get('compute') or env.get('OS_ENDPOINT_OVERRIDE') or env.get('OS_ENDPOINT')
    if not endpoint:
        raise errors.AuthError('OS_AUTH_TYPE is none: OS_ENDPOINT_OVERRIDE must name the compute endpoint,'
                               ' such as http://127.0.0.1:8774/v2.1')
    overrides['compute'] = endpoint
    insecure = env.get('OS_INSECURE', '').lower() in ('1', 'true', 'yes')
    verify: bool | str = not insecure and (env.get('OS_CACERT') or True)
    session = ks_session.Session(auth=noauth.Identity.from_env(endpoint, env), verify=verify,
                                 app_name=APP_NAME, app_version=__version__)
    return Target(session, overrides=overrides, noauth=True)


def _sdk_target(options: argparse.Namespace) -> Target:
    import openstack.config

    loader = openstack.config.OpenStackConfig(app_name=APP_NAME, app_version=__version__)
    given = options if hasattr(options, 'os_cloud') else None
    region = loader.get_one(argparse=given, validate=False)
    noauth = region.config.get('auth_type') == 'none'
    if not noauth:
        region = loader.get_one(argparse=given)
    config = region.config
    overrides = {service: url for service in SERVICES if (url := region.get_endpoint(service))}
    general = config.get('endpoint_override') or config.get('endpoint')
    if general and not (config.get('compute_endpoint_override') or config.get('compute_endpoint')):
        overrides['compute'] = general
    session = _noauth_session(region, overrides) if noauth else region.get_session()
    return Target(session, region, overrides, region.get_interface('compute'),
                  region.get_region_name('compute'), noauth)


def _noauth_session(region: Any, overrides: dict[str, str]) -> Any:
    """As from a plain environment. `auth: endpoint:` is compute's, and nobody else's.

    openstacksdk's own way would refuse a user or a project beside `auth_type: none`.
    """
    from keystoneauth1 import session as ks_session

    from minicompute.cli import noauth

    auth = region.config.get('auth') or {}
    env = {f'OS_{key.upper()}': value for key, value in auth.items() if isinstance(value, str)}
    for service in ('image', 'network', 'volume'):
        if overrides.get(service) == auth.get('endpoint'):
            overrides.pop(service, None)
    if 'compute' not in overrides:
        raise errors.AuthError('auth_type is none: compute_endpoint_override must name the compute endpoint')
    verify, cert = region.get_requests_verify_args()
    identity = noauth.Identity.from_env(overrides['compute'], {**os.environ, **env})
    return ks_session.Session(auth=identity, verify=verify, cert=cert,
                              timeout=region.config.get('api_timeout'), app_name=APP_NAME,
                              app_version=__version__)


def compute_adapter(target: Target) -> Any:
    from keystoneauth1 import adapter

    override = target.overrides.get('compute')
    return adapter.Adapter(
        target.session, service_type='compute', interface=target.interface or 'public',
        region_name=target.region_name, endpoint_override=override.rstrip('/') if override else None)


def image_proxy(target: Target) -> Any:
    override = target.overrides.get('image')
    if not override:
        return _sdk_connection(target).image
    from openstack.image.v2._proxy import Proxy
    return _fixed(Proxy, target, 'image', override, 'v2')


def network_proxy(target: Target) -> Any:
    override = target.overrides.get('network')
    if not override:
        return _sdk_connection(target).network
    from openstack.network.v2._proxy import Proxy
    return _fixed(Proxy, target, 'network', override, 'v2.0')


def volume_adapter(target: Target) -> Any:
    """Where nobody named a volume service, and there is no catalog, the compute service stands in for it."""
    from keystoneauth1 import adapter

    override = target.overrides.get('volume')
    if not override and target.noauth:
        override = f"{target.overrides['compute'].rstrip('/')}/v3"
    return adapter.Adapter(
        target.session, service_type='block-storage', interface=target.interface or 'public',
        region_name=target.region_name, endpoint_override=override.rstrip('/') if override else None)


def _fixed(proxy: Any, target: Target, service: str, url: str, version: str) -> Any:
    """A proxy at an endpoint that the user named: nothing to discover, and Glance has no document at /v2."""
    url = url.rstrip('/')
    if not url.endswith(f'/{version}'):
        url = f'{url}/{version}'
    made = proxy(target.session, service_type=service, endpoint_override=url)
    made._connection = _sdk_connection(target)      # as openstacksdk's own service descriptions do
    return made


def _sdk_connection(target: Target) -> Any:
    from openstack import connection
    from openstack.config import cloud_region

    region = target.region
    if region is None or target.noauth:
        region = cloud_region.from_session(target.session, name=APP_NAME)
    return connection.Connection(config=region)
