"""From a path to a resource.

Each module of the namespace `minicompute.api.v21` begins with its table:

    ROUTES = (('GET', '/flavors', FlavorsController, 'index'), ...)

The third and fourth columns are a controller class and a method: one name, several names for methods of
different microversions, or `wsgi.ACTIONS`.  Paths hold variables as `{id}`; every path is also there below
`/{project_id}`.
"""
from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import routes
from oslo_log import log as logging
from stevedore import ExtensionManager

from minicompute import exception
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import faults, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.wsgi import ActionResource, Operation, Request, Resource
from minicompute.conf import CONF

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LOG = logging.getLogger(__name__)

NAMESPACE = 'minicompute.api.v21'
ENV_ROUTE = 'minicompute.route'     # 'GET /servers/{id}', for who counts requests
Row = tuple[str, str, type[wsgi.Controller], str | Sequence[str]]

NOT_FOUND = Answer({'message': 'The resource could not be found.', 'code': '404 Not Found', 'title': 'Not Found'},
                   code=404)


def load_modules() -> list[Any]:
    """The resource modules by name. One that cannot be loaded stops the daemon: half an API is worse."""
    def fail(_manager: Any, entry_point: Any, error: BaseException) -> None:
        raise exception.ConfigurationError(
            reason=f'The API module {entry_point.name} ({entry_point.value}) does not load: {error}') from error

    manager = ExtensionManager(NAMESPACE, on_load_failure_callback=fail)
    return [found.plugin for found in sorted(manager, key=lambda found: found.name)]


class Router:
    """Routes' mapper holds and matches the rows. `_candidates` spares it most of its regular expressions:
    it knows the routes by method, number of segments and first segment."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self.mapper = routes.Mapper(register=False)
        self.mapper.minimization = False
        self.resources: dict[str, Resource] = {}
        self._controllers: dict[type[wsgi.Controller], wsgi.Controller] = {}
        self._candidates: dict[tuple[str, int, str], list[routes.Route]] = {}
        for row in sorted(self.rows, key=lambda row: row[1].count('{')):    # /flavors/detail before /flavors/{id}
            self._connect(*row)
        self.mapper.create_regs()
        self._collections = {key[2] for key in self._candidates}

    def _connect(self, method: str, path: str, controller: type[wsgi.Controller], names: str | Sequence[str]) -> None:
        resource = self._resource(controller, names)
        key = f'{method} {path}'
        if key in self.resources:
            self.resources[key].merge(resource)
            return
        self.resources[key] = resource
        self.mapper.connect(None, path, resource=key, conditions={'method': [method]})
        segments = path.split('/')
        self._candidates.setdefault((method, len(segments), segments[1]), []).append(self.mapper.matchlist[-1])

    def _resource(self, controller: type[wsgi.Controller], names: str | Sequence[str]) -> Resource:
        made = self._controllers.get(controller)
        if made is None:
            made = self._controllers[controller] = controller()
        if names == wsgi.ACTIONS:
            actions = [name for name in dir(controller)
                       if getattr(getattr(controller, name), 'promise', None) is not None
                       and wsgi.promise_of(getattr(controller, name)).action]
            return ActionResource(Operation(made, name) for name in actions)
        return Resource(Operation(made, name) for name in ([names] if isinstance(names, str) else names))

    def match(self, req: Request) -> tuple[Resource, dict[str, Any]] | None:
        """-> the resource and the path's variables; sets `req.project_in_url`."""
        path = req.path_info.rstrip('/')
        if '\x00' in path:
            return None
        segments = path.split('/')
        if len(segments) > 2 and segments[1] and segments[1] not in self._collections:
            req.project_in_url = segments[1]
            del segments[1]
            path = '/'.join(segments)
        first = segments[1] if len(segments) > 1 else ''
        for route in self._candidates.get((req.method, len(segments), first), ()):
            found = route.match(path, req.environ)
            if found:
                key = req.environ[ENV_ROUTE] = found.pop('resource')
                return self.resources[key], found
        return None

    def table(self) -> list[str]:
        """One line an operation, for the golden file and for the documents."""
        lines = []
        for key, resource in self.resources.items():
            for operation in resource.operations:
                promise = operation.promise
                name = f' {promise.action}' if promise.action else ''
                lines.append(f'{key}{name} [{promise.first}-{promise.last}] {operation.label}')
        return sorted(lines)


class APIRouter:
    """The Compute API as a WSGI application: route, negotiate, call, fault."""

    def __init__(self, modules: Iterable[Any] | None = None) -> None:
        loaded = load_modules() if modules is None else modules
        self.router = Router(row for module in loaded for row in module.ROUTES)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = Request(environ)
        try:
            found = self.router.match(req)
        except UnicodeDecodeError:
            found = None
        if found is None:
            return NOT_FOUND(environ, start_response)
        return self.respond(req, *found)(environ, start_response)

    def respond(self, req: Request, resource: Resource, args: dict[str, Any]) -> Answer:
        req.legacy = wsgi.ENV_LEGACY in req.environ
        req.context = req.environ[wsgi.ENV_CONTEXT]
        try:
            if not req.legacy:
                req.api_version = versions.negotiate(wsgi.asked_version(req))
                req.environ[wsgi.ENV_VERSION] = req.api_version
        except exception.ComputeException as error:
            answer = faults.from_exception(error)
            answer.headers += [('Vary', wsgi.NEW_HEADER), ('Vary', wsgi.OLD_HEADER)]
            return answer
        try:
            check_project(req)
            answer = resource(req, args)
        except Exception as error:    # the one place that may
            answer = faults.from_exception(error, req.context.request_id)
        if not req.legacy:
            answer.headers += wsgi.version_headers(req.api_version)
        return answer


@functools.cache
def the_router() -> APIRouter:
    return APIRouter()


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> APIRouter:
    """/v2 and /v2.1 share one."""
    Operation.validation = CONF.api.response_validation
    return the_router()


def check_project(req: Request) -> None:
    asked, own = req.project_in_url, req.context.project_id
    if asked is not None and asked != own:
        raise exception.Invalid(f"Malformed request URL: URL's project_id '{asked[:64]}' doesn't match "
                                f"Context's project_id '{own}'")


def legacy_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Any:
    """Paste filter of /v2: no microversions, and unknown body keys are dropped instead of refused."""
    def wrap(app: Any) -> Any:
        def legacy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ[wsgi.ENV_LEGACY] = True
            return app(environ, start_response)
        return legacy
    return wrap
