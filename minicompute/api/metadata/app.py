"""The metadata API as a WSGI application."""
from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import webob
from oslo_log import log as logging

from minicompute import exception
from minicompute.api.metadata import identity, tree
from minicompute.api.metadata.rate import Rate
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances, system_metadata
from minicompute.objects import Instance
from minicompute.virt import guest_data, password
from minicompute.virt.metadata import InstanceMetadata

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LOG = logging.getLogger(__name__)

#: characters of a password that a guest may leave, sealed
MOST_PASSWORD = 4 * password.PIECE
#: servers whose documents are kept
MOST_KEPT = 1000
#: seconds that a failure is kept, so that a vendor data service that is down is not asked by each request anew
FAILURE = 1.0

Known = tuple[Instance, InstanceMetadata]


class MetadataApplication:

    def __init__(self) -> None:
        self._rate = Rate()
        # Until when, and what: those that are being read are among them, and whoever asks meanwhile waits with them.
        self._kept: OrderedDict[str, tuple[float, Future[Known]]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = webob.Request(environ)
        try:
            answer = self._answer(req)
        except exception.ComputeException as error:
            answer = _text(error.code, str(error))
        except UnicodeDecodeError:
            answer = _text(404, 'Not found')
        except Exception:
            LOG.exception('A request for metadata failed')
            answer = _text(500, 'An unknown error has occurred. Please try your request again.')
        result: Iterable[bytes] = answer(environ, start_response)
        return result

    def _answer(self, req: webob.Request) -> webob.Response:
        path = req.path_info
        if not tree.parts_of(path):
            return _found(tree.root())
        uuid, project = identity.asked_for(req.headers)
        if wait := self._rate.take(uuid, CONF.api.metadata_rate_limit):
            return _text(429, 'Too many requests', Retry_After=str(int(wait) + 1))
        instance, md = self._known(uuid)
        if instance.project_id != project:
            LOG.warning('Instance %s is not of project %s', uuid, project)
            raise exception.NotFound('Not found')
        if tree.is_password(path):
            return self._password(req, uuid)
        if req.method not in ('GET', 'HEAD'):
            return _text(405, 'Method not allowed', Allow='GET')
        found = tree.find(md, path)
        if found is None:
            raise exception.NotFound('Not found')
        return _found(found)

    def _known(self, uuid: str) -> Known:
        """Raises InstanceNotFound, VendorDataFailed."""
        with self._lock:
            until, found = self._kept.get(uuid, (0.0, Future()))
            mine = until <= time.monotonic()
            if mine:
                found = self._keep(uuid, math.inf, Future())
        if mine:
            lasts = FAILURE
            try:
                found.set_result(_read(uuid))
                lasts = CONF.api.metadata_cache_expiration
            except BaseException as error:
                found.set_exception(error)
            with self._lock:
                self._keep(uuid, time.monotonic() + lasts, found)
        failure = found.exception()
        if failure is not None:
            raise failure.with_traceback(None)    # of many who raise it each would add to it
        return found.result()

    def _keep(self, uuid: str, until: float, found: Future[Known]) -> Future[Known]:
        """Under the lock."""
        self._kept.pop(uuid, None)
        self._kept[uuid] = until, found
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def _password(self, req: webob.Request, uuid: str) -> webob.Response:
        """What the guest has sealed to the server's key, once: whoever gets in later cannot change it."""
        if req.method in ('GET', 'HEAD'):
            with session.read() as conn:
                kept = system_metadata.of(conn, uuid)
            return _text(200, password.from_metadata(kept))
        if req.method != 'POST':
            return _text(405, 'Method not allowed', Allow='GET, POST')
        body = req.body_file.read(MOST_PASSWORD + 1) if (req.content_length or 0) <= MOST_PASSWORD else b'x' * 2000
        if len(body) > MOST_PASSWORD:
            raise exception.Invalid('Request is too large.')
        if not body or not body.isascii() or b'\0' in body:
            raise exception.Invalid('The password must be sealed, and base64.')
        if not session.write(system_metadata.put_once, uuid, f'{password.PREFIX}0',
                             password.to_metadata(body.decode('ascii'))):
            raise exception.Conflict('The password is set already.')
        return _text(200, '')


def _read(uuid: str) -> Known:
    """Raises InstanceNotFound, VendorDataFailed."""
    with session.read() as conn:
        instance = instances.get_many(conn, [uuid]).get(uuid)
    if instance is None:
        raise exception.InstanceNotFound(instance_id=uuid)
    return instance, guest_data.describe(instance)


def _found(found: tree.Found) -> webob.Response:
    """Always with a character set: Neutron's agent decodes the answer and encodes it again by what we declare, and
    fails without. User data that is no text goes through as Latin-1, in which each byte is a letter."""
    try:
        found.content.decode('utf-8')
        charset = 'UTF-8'
    except UnicodeDecodeError:
        charset = 'ISO-8859-1'
    kind = found.content_type.partition(';')[0]
    response = webob.Response(body=found.content)
    response.headers['Content-Type'] = f'{kind}; charset={charset}'
    return response


def _text(status: int, text: str, **headers: str) -> webob.Response:
    response = webob.Response(status=status, text=text, content_type='text/plain', charset='UTF-8')
    for name, value in headers.items():
        response.headers[name.replace('_', '-')] = value
    return response


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> MetadataApplication:
    return MetadataApplication()
