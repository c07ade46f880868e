"""/os-server-external-events: what other services tell of servers. Each event has a code of its own in the answer."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute.schemas import server_external_events as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import external_events
from minicompute.compute.api.external_events import Event
from minicompute.objects import Instance

#: events that say nothing without what they are about
TAGGED = frozenset(('volume-extended', 'power-update', 'accelerator-request-bound'))
MULTI_STATUS = 207


class ServerExternalEventsController(wsgi.Controller):

    @wsgi.response(200, also=(MULTI_STATUS,))
    @wsgi.expected_errors(403)
    @validation.schema(schema.create, answer=schema.answer)
    def create(self, req: Request, body: dict[str, Any]) -> Answer:
        policy.authorize(req.context, 'os_compute_api:os-server-external-events:create', {})
        events = [Event(**asked) for asked in body['events']]
        servers = external_events.find(event.server_uuid for event in events)
        codes = [code(servers.get(event.server_uuid), event) for event in events]
        external_events.deliver_all(req.context, [
            (servers[event.server_uuid], event) for event, said in zip(events, codes, strict=True) if said == 200])
        shown = [{**asked, 'status': 'completed' if said == 200 else 'failed', 'code': said}
                 for asked, said in zip(body['events'], codes, strict=True)]
        return Answer({'events': shown}, code=None if set(codes) == {200} else MULTI_STATUS)


ROUTES = (('POST', '/os-server-external-events', ServerExternalEventsController, 'create'),)


def code(instance: Instance | None, event: Event) -> int:
    """200: it is delivered."""
    if instance is None:
        return 404
    if event.name in TAGGED and event.tag is None:
        return 400
    return 200 if instance.host else 422    # without a host there is nobody to tell
