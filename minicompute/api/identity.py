"""What Keystone knows beyond the token: is there a project of this id?"""
from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF

if TYPE_CHECKING:
    from minicompute.api.openstack.wsgi import Request

LOG = logging.getLogger(__name__)

ENV_USER = 'keystone.token_auth'     # keystonemiddleware's: the caller's token, for requests on its behalf


class ProjectUnknown(exception.Invalid):
    msg_fmt = 'Project ID %(project_id)s is not a valid project.'


class KeystoneUnknown(exception.Invalid):
    msg_fmt = "The endpoint of the identity service was not found in the caller's service catalog."


def verify_project(req: Request, project_id: str) -> None:
    """Ask Keystone with the caller's own token. Raises ProjectUnknown when it says that there is none, and
    KeystoneUnknown. A Keystone that does not say, or may not, is taken for a yes: an operator that cannot reach it
    must still be able to work. Without Keystone every name is a project."""
    if CONF.api.auth_strategy != 'keystone':
        return
    if project_id in ('.', '..'):       # which as a part of a path would be another question
        raise ProjectUnknown(project_id=project_id)
    from keystoneauth1 import adapter, exceptions  # 6 MB that noauth2 needs not

    conf = CONF.keystone_authtoken
    keystone = adapter.Adapter(
        _session(), auth=req.environ.get(ENV_USER), service_type='identity', interface=[conf.interface, 'public'],
        region_name=conf.region_name, min_version='3.0', max_version='3.latest')
    try:
        answer = keystone.get(f'/projects/{quote(project_id, safe="")}', raise_exc=False)
    except exceptions.EndpointNotFound:
        raise KeystoneUnknown from None
    except exceptions.ClientException as error:
        LOG.warning('Keystone could not be asked for project %s: %s', project_id, error)
        return
    if answer.status_code == 404:
        raise ProjectUnknown(project_id=project_id)
    if not answer.ok:
        LOG.info('Keystone answers %s when asked for project %s', answer.status_code, project_id)


@functools.cache
def _session() -> Any:
    """Connections are kept, and what the endpoint says of its versions."""
    from keystoneauth1 import session

    conf = CONF.keystone_authtoken
    verify = conf.cafile or True
    cert = (conf.certfile, conf.keyfile) if conf.certfile and conf.keyfile else None
    return session.Session(verify=False if conf.insecure else verify, cert=cert, timeout=conf.http_connect_timeout)
