"""What the operator tells all guests: from a file, and from services that are asked for each server."""
from __future__ import annotations

import json
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance

LOG = logging.getLogger(__name__)

GROUP = 'vendordata_dynamic_auth'
HEADERS = {'Content-Type': 'application/json', 'Accept': 'application/json', 'User-Agent': 'minicompute-vendordata'}
#: bytes of an answer
MOST = 1024 * 1024


class VendorDataFailed(exception.ComputeException):
    msg_fmt = 'The vendor data service %(name)s does not answer as it should.'


def static() -> dict[str, Any]:
    """The document of [api] vendordata_jsonfile_path; {} without one, or when it is no JSON object."""
    path = CONF.api.vendordata_jsonfile_path
    if not path or 'StaticJSON' not in CONF.api.vendordata_providers:
        return {}
    try:
        with open(path, encoding='utf-8') as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        LOG.warning('[api] vendordata_jsonfile_path: %s cannot be read: %s', path, error)
        return {}
    if not isinstance(found, dict):
        LOG.warning('[api] vendordata_jsonfile_path: %s holds no JSON object', path)
        return {}
    return found


def dynamic(instance: Instance) -> dict[str, Any]:
    """{name of the service: its answer}. Raises VendorDataFailed if [api] vendordata_dynamic_failure_fatal."""
    if 'DynamicJSON' not in CONF.api.vendordata_providers:
        return {}
    found: dict[str, Any] = {}
    for target in CONF.api.vendordata_dynamic_targets:
        name, at, url = target.partition('@')
        if not at or name in found or name == 'static':
            LOG.warning('[api] vendordata_dynamic_targets: %s has no name of its own', target)
            continue
        found[name] = _ask(name, url, instance)
    return found


def _ask(name: str, url: str, instance: Instance) -> Any:
    # Here, because most computes and metadata APIs never ask anybody.
    from keystoneauth1 import exceptions as ks

    body = {'project-id': instance.project_id, 'instance-id': instance.uuid, 'image-id': instance.image_ref,
            'user-data': instance.user_data, 'hostname': instance.hostname, 'metadata': instance.metadata,
            'boot-roles': instance.system_metadata.get('boot_roles', '')}
    api = CONF.api
    try:
        session = _session()
        answer = session.request(url, 'POST', json=body, headers=HEADERS, authenticated=session.auth is not None,
                                 redirect=False,
                                 timeout=(api.vendordata_dynamic_connect_timeout, api.vendordata_dynamic_read_timeout))
        if len(answer.content) > MOST:
            raise ValueError(f'its answer has {len(answer.content)} bytes')
        return json.loads(answer.content) if answer.content else {}
    except (ks.ClientException, ValueError) as error:
        LOG.warning('The vendor data service %s at %s: %s', name, url, error)
        if api.vendordata_dynamic_failure_fatal:
            raise VendorDataFailed(name=name) from None
        return {}


def _session() -> Any:
    from keystoneauth1 import loading
    from keystoneauth1 import session as ks

    loading.register_auth_conf_options(CONF, GROUP)
    auth = loading.load_auth_from_conf_options(CONF, GROUP) if CONF[GROUP].auth_type else None
    return ks.Session(auth=auth, verify=CONF.api.vendordata_dynamic_ssl_certfile or True)
