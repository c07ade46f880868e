"""How we reach the neighbours: Glance, Neutron and Cinder, through keystoneauth, from [glance], [neutron] and [cinder].

    service_auth.adapter('neutron', context).get('/ports/UUID', errors={404: lambda said: PortNotFound(port_id=...)})

In the api, with the context of a request, the user's token is passed on, so that the neighbour says what this user may
see; [service_user] adds a service token.  Without a context that has a token (flows, computes, sweeps) it is the
service user of the section.  Paths begin below the version: '/images', '/ports', '/volumes'.

Whoever imports this pays for keystoneauth; with local backends nobody does.
"""
from __future__ import annotations

import dataclasses
import functools
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from keystoneauth1 import adapter as ks_adapter
from keystoneauth1 import exceptions as ks
from keystoneauth1 import loading, plugin, service_token
from keystoneauth1.access import service_catalog
from oslo_log import log as logging

from minicompute import exception, version
from minicompute.conf import CONF
from minicompute.context import RequestContext

LOG = logging.getLogger(__name__)

SERVICE_USER = 'service_user'
VERSIONED = re.compile(r'/v\d+(\.\d+)?(/|$)')
#: letters of a neighbour's message that we pass on
MOST_SAID = 500
#: seconds between two tokens that are asked for because a catalog does not name a service
ANEW = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """`title` is its name in messages, `version` what paths begin below."""

    title: str
    service_type: str
    version: str


SERVICES = {'glance': Service('Image', 'image', 'v2'), 'neutron': Service('Network', 'network', 'v2.0'),
            'cinder': Service('Block Storage', 'block-storage', 'v3')}


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a neighbour answered that refused: `kind` is its name for it (Neutron's 'OverQuota'), or ''."""

    status: int
    kind: str
    message: str

    def __str__(self) -> str:
        return self.message


Errors = Mapping[int, Callable[[Said], Exception]]


def path(*parts: str) -> str:
    """'/ports/UUID', of ids that users write: none is more than a part. Raises NotFound for what cannot be one."""
    for one in parts:
        if one in ('', '.', '..'):
            raise exception.NotFound(f'{one!r} could not be found.')
    return ''.join(f'/{quote(one, safe="")}' for one in parts)


class Document(dict[str, Any]):
    """A part of what a neighbour answered, in which what has to be there and is not is the neighbour's fault:
    `document['id']` raises NeighbourUnavailable."""

    title = ''

    def __missing__(self, name: str) -> Any:
        raise exception.NeighbourUnavailable(service=self.title, reason=f'its answer has no {name!r}')


class Neighbour(ks_adapter.Adapter):
    """keystoneauth's adapter, whose requests raise our exceptions.

    NeighbourUnavailable: no answer, one of 5xx or 429, or Keystone that does not let us in.  All other refusals are
    what `errors` says for their status, or else 400 InvalidInput, 401 Unauthorized, 403 and 413 Forbidden,
    404 and 410 NotFound, 409 and 412 Conflict.
    """

    def __init__(self, service: Service, of_user: bool, **kwargs: Any) -> None:
        super().__init__(client_name='minicompute', client_version=version.__version__, **kwargs)
        self.service, self.of_user = service, of_user

    def request(self, url: str, method: str, *, errors: Errors | None = None, **kwargs: Any) -> Any:
        """`raise_exc=False` is the caller's way to see any answer below 500."""
        wants_all = kwargs.pop('raise_exc', True) is False
        kwargs['endpoint_override'] = self._root()
        if method not in ('GET', 'HEAD'):    # whether the first one was heard, nobody knows
            kwargs.setdefault('connect_retries', 0)
            kwargs.setdefault('status_code_retries', 0)
        try:
            return super().request(url, method, **kwargs)
        except ks.HttpError as error:
            if wants_all and error.response is not None and error.http_status < 500:
                return error.response
            raise self._refused(error, method, url, errors or {}) from None
        except ks.ClientException as error:
            raise self._silent(self.service.title, error) from error

    def project(self) -> str | None:
        """Whose what is made here is. None where there is no Keystone."""
        self._root()
        found: str | None = self.get_project_id()
        return found

    def document(self, answer: Any) -> Document:
        """What a request answered; {} for an answer without a body. Raises NeighbourUnavailable for what is no JSON
        object (a page of a proxy, half an answer)."""
        def part(found: dict[str, Any]) -> Document:
            made = Document(found)
            made.title = self.service.title
            return made
        try:
            found = json.loads(answer.content, object_hook=part) if answer.content else part({})
        except ValueError:
            found = None
        if not isinstance(found, Document):
            LOG.warning('The %s service answers %s with what is no JSON object: %r', self.service.title,
                        answer.status_code, answer.content[:200])
            raise exception.NeighbourUnavailable(service=self.service.title, reason='its answer is no JSON object')
        return found

    def _root(self) -> str:
        """Where the paths begin. Asks Keystone for a token if there is none yet."""
        try:
            endpoint = self._in_catalog()
            if not endpoint and self._forget_catalog():
                endpoint = self._in_catalog()
            self.session.get_auth_headers(self.auth)
        except ks.HttpError as error:
            if error.http_status >= 500:
                raise self._silent('Identity', error) from error
            LOG.error('Keystone refuses the service user for the %s service: %s', self.service.title, error)
            raise exception.NeighbourUnavailable(
                service='Identity', reason=f'it refuses the service user ({error.http_status})') from error
        except ks.ClientException as error:
            raise self._silent('Identity', error) from error
        if not endpoint:
            raise exception.NeighbourUnavailable(
                service=self.service.title, reason=f'the catalog has no {self.service_type} endpoint of these '
                f'interfaces: {", ".join(self.interface or ())} (region {self.region_name or "any"})')
        path = urlsplit(endpoint).path
        endpoint = endpoint.rstrip('/')
        return endpoint if VERSIONED.search(path) else f'{endpoint}/{self.service.version}'

    def _in_catalog(self) -> str | None:
        try:
            found: str | None = self.get_endpoint()
        except ks.CatalogException:
            return None
        return found

    def _forget_catalog(self) -> bool:
        """A token comes with the catalog of its hour: a service that was registered since is in that of the next one.
        -> whether another look is worth it. Each `ANEW` seconds at most: else each request would cost a token."""
        now = time.monotonic()
        with _LOCK:
            if now - _forgotten.get(self.service.service_type, -ANEW) < ANEW:
                return False
            _forgotten[self.service.service_type] = now
        return self.auth is not None and bool(self.auth.invalidate())

    def _silent(self, title: str, error: Exception) -> exception.NeighbourUnavailable:
        """The operator reads where it was and what happened; a user need not."""
        LOG.warning('The %s service: %s', title, error)
        if isinstance(error, ks.HttpError):
            return exception.NeighbourUnavailable(service=title, reason=f'it answers {error.http_status}')
        for kind, reason in ((ks.ConnectTimeout, 'it does not answer in time'), (ks.SSLError, 'its TLS fails'),
                             (ks.ConnectionError, 'it cannot be reached'),
                             (ks.MissingAuthPlugin, 'we have no credentials for it')):
            if isinstance(error, kind):
                return exception.NeighbourUnavailable(service=title, reason=reason)
        return exception.NeighbourUnavailable(service=title, reason=type(error).__name__)

    def _refused(self, error: Any, method: str, url: str, errors: Errors) -> Exception:
        status: int = error.http_status
        said = heard(error)
        if status in errors:
            return errors[status](said)
        if status == 401 and not self.of_user:
            LOG.error('The %s service refuses our service user: %s', self.service.title, said)
            return exception.NeighbourUnavailable(service=self.service.title, reason='it refuses the service user')
        if status in REFUSALS:
            return REFUSALS[status](said)
        LOG.warning('The %s service answers %s to %s %s: %s', self.service.title, status, method, url, said)
        return exception.NeighbourUnavailable(service=self.service.title, reason=f'it answers {status}')


REFUSALS: dict[int, Callable[[Said], Exception]] = {
    400: lambda said: exception.InvalidInput(reason=said.message),
    401: lambda said: exception.Unauthorized(said.message),
    403: lambda said: exception.Forbidden(said.message),
    404: lambda said: exception.NotFound(said.message),
    409: lambda said: exception.Conflict(said.message),
    410: lambda said: exception.NotFound(said.message),
    412: lambda said: exception.Conflict(said.message),
    413: lambda said: exception.Forbidden(said.message),
    415: lambda said: exception.InvalidInput(reason=said.message),
    422: lambda said: exception.InvalidInput(reason=said.message),
}


def heard(error: Any) -> Said:
    """The words of a refusal: {"NeutronError": {"type", "message"}}, {"itemNotFound": {"message"}}, or HTML."""
    kind, message = '', ''
    text = error.response.text if error.response is not None else ''
    try:
        found = json.loads(text)
        inner = next((part for part in found.values() if isinstance(part, dict)), found)
        kind, message = str(inner.get('type') or ''), str(inner.get('message') or '')
    except (ValueError, AttributeError):
        body = re.sub(r'(?is)<head>.*?</head>|<h1>.*?</h1>', ' ', text)
        message = ' '.join(re.sub(r'<[^>]*>', ' ', body).split())
    return Said(error.http_status, kind, message[:MOST_SAID] or f'It answers {error.http_status}.')


class UserAuth(plugin.BaseAuthPlugin):
    """The token of a request. The endpoints are those of the catalog that came with it; of a token without one
    (`nocatalog`) those that the service user finds."""

    def __init__(self, context: RequestContext, other: plugin.BaseAuthPlugin | None) -> None:
        super().__init__()
        self._context, self._other = context, other

    def get_token(self, session: Any) -> str | None:
        return self._context.auth_token

    def get_endpoint(self, session: Any, *, service_type: str | None = None, interface: Any = None,
                     region_name: str | None = None, service_name: str | None = None, **kwargs: Any) -> str | None:
        said = self._context.service_catalog
        catalog = service_catalog.ServiceCatalogV2(json.loads(said) if said else [])
        found = catalog.url_for(service_type=service_type, interface=interface, region_name=region_name,
                                service_name=service_name) if catalog.catalog else None
        if found is None and self._other is not None:
            return self._other.get_endpoint(session, service_type=service_type, interface=interface,
                                            region_name=region_name, service_name=service_name)
        return found

    def invalidate(self) -> bool:
        return self._other is not None and bool(self._other.invalidate())

    def get_user_id(self, session: Any) -> str | None:
        return self._context.user_id

    def get_project_id(self, session: Any) -> str | None:
        return self._context.project_id


# -- from the configuration -----------------------------------------------------------------------

_LOCK = threading.RLock()
#: type of a service -> when (monotonic) a catalog without it was forgotten
_forgotten: dict[str, float] = {}


def options(group: str) -> list[Any]:
    """What keystoneauth reads in a section, with our defaults; `auth_type` adds its own."""
    found: list[Any] = loading.get_session_conf_options()
    if group in SERVICES:
        for opt in loading.get_adapter_conf_options(include_deprecated=False):
            if opt.dest not in ('version', 'min_version', 'max_version'):
                found.append(opt)
    defaults = {'timeout': 30.0, 'connect_retries': 1, 'status_code_retries': 1,
                'valid_interfaces': ['internal', 'public']}
    if group in SERVICES:
        defaults['service_type'] = SERVICES[group].service_type
    for opt in found:
        if opt.dest in defaults:
            opt.default = defaults[opt.dest]
    return found


def list_opts() -> list[tuple[str, list[Any]]]:
    """What `oslo-config-generator --namespace minicompute.neighbours` lists."""
    more = loading.get_auth_common_conf_options() + loading.get_auth_plugin_conf_options('password')
    return [(group, options(group) + more) for group in (*SERVICES, SERVICE_USER)]


@functools.cache
def register(group: str) -> None:
    CONF.register_opts(options(group), group=group)
    loading.register_auth_conf_options(CONF, group)


def require(group: str) -> None:
    """For daemons at their start. Raises ConfigurationError, which names what is missing."""
    try:
        if auth_of(group) is None:
            raise exception.ConfigurationError(
                reason=f'[{group}] auth_type is not set: say as whom to ask the {SERVICES[group].title} service '
                       '(auth_type = password, auth_url, username, password, project_name, ...; or auth_section = '
                       'service_user)')
        if CONF.service_user.send_service_user_token and auth_of(SERVICE_USER) is None:
            raise exception.ConfigurationError(
                reason='[service_user] send_service_user_token is on, and auth_type is not set')
    except (ks.ClientException, ks.MissingRequiredOptions) as error:
        raise exception.ConfigurationError(reason=f'[{group}]: {error}') from error


def auth_of(group: str) -> plugin.BaseAuthPlugin | None:
    """The service user of a section, one a process: it keeps its token and gets a new one when that ends."""
    with _LOCK:
        register(group)
        return _auth_of(group)


@functools.cache
def _auth_of(group: str) -> plugin.BaseAuthPlugin | None:
    found: plugin.BaseAuthPlugin | None = loading.load_auth_from_conf_options(CONF, group)
    return found


def session_of(group: str) -> Any:
    """One a process and section: it keeps connections."""
    with _LOCK:
        register(group)
        return _session_of(group)


@functools.cache
def _session_of(group: str) -> Any:
    return loading.load_session_from_conf_options(CONF, group)


def reset() -> None:
    """Forget what was read from the configuration."""
    with _LOCK:
        _auth_of.cache_clear()
        _session_of.cache_clear()
        _forgotten.clear()


def adapter(group: str, context: RequestContext | None = None) -> Neighbour:
    """The way to 'glance', 'neutron' or 'cinder': as the user of `context`, or as the service user of [group]."""
    session, auth, conf = session_of(group), auth_of(group), CONF[group]
    of_user = context is not None and bool(context.auth_token) and CONF.api.auth_strategy == 'keystone'
    if of_user:
        assert context is not None
        auth = UserAuth(context, auth)
        ours = auth_of(SERVICE_USER) if CONF.service_user.send_service_user_token else None
        if ours is not None:
            auth = service_token.ServiceTokenAuthWrapper(auth, ours)
    elif group == 'cinder' and auth is not None:
        # Cinder gives back what a server uses to none but a service, which it knows by the second token alone.
        auth = service_token.ServiceTokenAuthWrapper(auth, auth)
    return Neighbour(
        SERVICES[group], of_user, session=session, auth=auth, service_type=conf.service_type,
        service_name=conf.service_name, interface=conf.valid_interfaces, region_name=conf.region_name,
        endpoint_override=conf.endpoint_override, connect_retries=conf.connect_retries,
        connect_retry_delay=conf.connect_retry_delay, status_code_retries=conf.status_code_retries,
        status_code_retry_delay=conf.status_code_retry_delay, retriable_status_codes=conf.retriable_status_codes,
        global_request_id=context.global_id if context is not None else None)
