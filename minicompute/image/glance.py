"""Images that Glance has.

In the api the user's token is passed on, so who sees, changes and deletes what is Glance's to say: private, shared
with its members, community, public.  Flows have no token: there it is the service user of [glance], which must be an
administrator for Glance, because it reads and finishes the images of all projects.

An image of a server is made by the api, as the user (so that Glance's own rules and quotas hold), its data is brought
by a compute (glance_data.py), and the conductor looks whether what arrived is what was sent.
"""
from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from urllib.parse import quote

from oslo_log import log as logging

from minicompute import exception, service_auth
from minicompute.context import RequestContext
from minicompute.image.base import ImageBackend
from minicompute.objects import ImageMeta

LOG = logging.getLogger(__name__)

#: attributes of Glance's that `ImageMeta` has; all names that are in neither list are properties
FIELDS = ('id', 'name', 'status', 'disk_format', 'container_format', 'size', 'virtual_size', 'min_disk', 'min_ram',
          'checksum', 'os_hash_algo', 'os_hash_value', 'visibility', 'protected', 'owner', 'tags')
OTHERS = ('created_at', 'updated_at', 'self', 'file', 'schema', 'locations', 'direct_url', 'stores', 'location',
          'deleted', 'deleted_at')
#: without which it is no image
NEEDED = ('id', 'status')
TAKEN = frozenset((*FIELDS, *OTHERS, 'os_hidden'))
PATCH = {'Content-Type': 'application/openstack-images-v2.1-json-patch'}
#: what Glance gives at once, at most
PAGE = 1000
CHUNK = 1 << 20
OPERATORS = {'gte': 'gte', 'gt': 'gt', 'lte': 'lte', 'lt': 'lt', 'eq': 'eq', 'neq': 'neq'}
#: seconds that Glance may take to store what it was sent
STORE = 600


def path_of(image_id: str, *more: str) -> str:
    """Raises ImageNotFound for what is no part of a path."""
    if image_id in ('', '.', '..'):
        raise exception.ImageNotFound(image_id=image_id)
    return '/'.join(('/images', quote(image_id, safe=''), *more))


def not_found(image_id: str) -> service_auth.Errors:
    return {404: lambda said: exception.ImageNotFound(image_id=image_id)}


def read(client: service_auth.Neighbour, image_id: str) -> ImageMeta:
    """Raises ImageNotFound."""
    return meta_of(client.document(client.get(path_of(image_id), errors=not_found(image_id))))


def meta_of(document: dict[str, Any]) -> ImageMeta:
    """From what Glance says."""
    meta = ImageMeta(**{name: document[name] for name in FIELDS
                        if name in NEEDED or document.get(name) is not None})
    meta.properties = {name: value for name, value in document.items() if name not in TAKEN}
    if document.get('os_hidden'):
        meta.properties['os_hidden'] = True
    for name in ('created_at', 'updated_at'):
        if said := document.get(name):
            setattr(meta, name, datetime.datetime.fromisoformat(said).astimezone(datetime.UTC).replace(tzinfo=None))
    return meta


def document_of(meta: ImageMeta) -> dict[str, Any]:
    """For Glance, of an image that is to be made. Raises InvalidInput for a property with the name of an attribute."""
    said = {'id': meta.id, 'name': meta.name, 'visibility': meta.visibility, 'min_disk': meta.min_disk,
            'min_ram': meta.min_ram, 'protected': meta.protected, 'owner': meta.owner, 'tags': meta.tags,
            'disk_format': meta.disk_format, 'container_format': meta.container_format}
    return {**{name: value for name, value in said.items() if value is not None}, **_properties(meta.properties)}


def _properties(properties: dict[str, Any]) -> dict[str, str]:
    made = {}
    for name, value in properties.items():
        if name in TAKEN and name != 'os_hidden':
            raise exception.InvalidInput(reason=f'{name} is an attribute of images, which a property cannot be called')
        if value is not None and name != 'os_hidden':
            made[name] = value if isinstance(value, str) else json.dumps(value) if isinstance(
                value, (dict, list)) else str(value)
    return made


#: the class has a method of the type's name
Images = list[ImageMeta]


class GlanceImages(ImageBackend):
    """`context` says who asks: see the head of this file."""

    remote = True

    def __init__(self) -> None:
        service_auth.require('glance')

    def show(self, context: RequestContext, image_id: str) -> ImageMeta:
        return read(_as(context), image_id)

    def list(self, context: RequestContext, *, filters: dict[str, Any] | None = None,
             limit: int | None = None, marker: str | None = None) -> Images:
        """`filters` as `db.api.images.page` takes them. The newest first."""
        client, after = _as(context), marker
        found: Images = []
        query = [*_query(filters or {}), ('sort', 'created_at:desc,id:desc')]
        errors = dict.fromkeys((400, 404), lambda said: exception.MarkerNotFound(marker=marker)) if marker else {}
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            here = [*query, ('limit', str(size)), *([('marker', after)] if after is not None else [])]
            answer = client.document(client.get('/images', params=here, errors=errors))
            found += [meta_of(document) for document in answer['images']]
            if not answer.get('next') or not answer['images']:
                break
            after = str(answer['images'][-1]['id'])
        return found

    def create(self, context: RequestContext, meta: ImageMeta) -> ImageMeta:
        client = _as(context)
        return meta_of(client.document(client.post('/images', json=document_of(meta), errors={
            409: lambda said: exception.Conflict(f'Image ID {meta.id} already exists.')})))

    def upload(self, context: RequestContext, image_id: str, data: BinaryIO) -> ImageMeta:
        _as(context).put(path_of(image_id, 'file'), data=data, headers={'Content-Type': 'application/octet-stream'},
                         timeout=STORE, errors=not_found(image_id))
        return self.show(context, image_id)

    def update(self, context: RequestContext, image_id: str, changes: dict[str, Any]) -> ImageMeta:
        """Of `properties` all are replaced."""
        client = _as(context)
        before = read(client, image_id)
        operations: list[dict[str, Any]] = [
            {'op': 'replace', 'path': f'/{name}', 'value': value} for name, value in changes.items()
            if name != 'properties' and getattr(before, name) != value]
        if 'properties' in changes:
            wanted = _properties(changes['properties'])
            kept = {name: value for name, value in before.properties.items() if name != 'os_hidden'}
            operations += [{'op': 'remove', 'path': f'/{_pointer(name)}'} for name in kept.keys() - wanted.keys()
                           if not name.startswith('os_glance')]
            operations += [{'op': 'replace' if name in kept else 'add', 'path': f'/{_pointer(name)}', 'value': value}
                           for name, value in wanted.items() if kept.get(name) != value]
        if not operations:
            return before
        return meta_of(client.document(client.patch(path_of(image_id), json=operations, headers=PATCH,
                                                    errors=not_found(image_id))))

    def delete(self, context: RequestContext, image_id: str) -> None:
        _as(context).delete(path_of(image_id), errors={
            **not_found(image_id), 409: lambda said: exception.ImageInUse(image_id=image_id)})

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        answer = _as(context).get(path_of(image_id, 'file'), stream=True, errors=not_found(image_id))
        chunks: Iterator[bytes] = answer.iter_content(CHUNK)
        return chunks

    # -- images whose data a compute sends ---------------------------------

    def reserve(self, context: RequestContext, meta: ImageMeta) -> Callable[[Any], None] | None:
        """It is there when this returns: whoever is told its id can ask Glance for it."""
        self.create(context, meta)
        other = meta.properties.get('instance_owner')
        if other and meta.visibility == 'shared':       # whose server it is shall have the image, too
            _as(context).post(path_of(str(meta.id), 'members'), json={'member': other}, errors={
                409: lambda said: exception.Conflict(said.message)})
        return None

    def finish(self, image_id: str, facts: dict[str, Any]) -> Callable[[Any], None] | None:
        client = service_auth.adapter('glance')
        image = read(client, image_id)
        if image.status == 'queued' and not facts['size']:     # an image that only says something has no sender
            give_formats(client, image, facts['disk_format'], facts['container_format'])
            client.put(path_of(image_id, 'file'), data=b'', headers={'Content-Type': 'application/octet-stream'},
                       errors=not_found(image_id))
            image = read(client, image_id)
        if image.status in ('deleted', 'pending_delete'):
            raise exception.ImageNotFound(image_id=image_id)
        if image.status != 'active':
            raise exception.ImageNotActive(image_id=image_id)
        if trouble := differs(image, facts):
            raise exception.ImageUnacceptable(image_id=image_id, reason=trouble)
        return None

    def discard(self, image_id: str) -> None:
        """One that a user has protected meanwhile, or that others stand on, stays."""
        client = service_auth.adapter('glance')
        try:
            client.delete(path_of(image_id), errors=not_found(image_id))
        except exception.ImageNotFound:
            _check_there(client)
        except (exception.Forbidden, exception.Conflict) as error:
            LOG.warning('Image %s, which nobody needs, cannot be deleted: %s', image_id, error)


def _check_there(client: service_auth.Neighbour) -> None:
    """Whether it is Glance that does not know the image, or what stands before it that does not know Glance."""
    try:
        client.get('/images', params={'limit': 1})
    except exception.NotFound:
        raise exception.NeighbourUnavailable(service='Image', reason='it answers 404 to everything') from None


def _as(context: RequestContext) -> service_auth.Neighbour:
    return service_auth.adapter('glance', context)


def _pointer(name: str) -> str:
    """As part of a JSON pointer."""
    return name.replace('~', '~0').replace('/', '~1')


def _query(filters: dict[str, Any]) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for name, value in filters.items():
        if name == 'properties':
            made += [(key, str(one)) for key, one in value.items() if key not in TAKEN]
        elif name == 'tags':
            made += [('tag', str(tag)) for tag in value]
        elif name in ('created_at', 'updated_at'):
            made += [(name, f'{OPERATORS[operator]}:{time.isoformat(timespec="seconds")}Z') for operator, time in value]
        elif isinstance(value, list):
            made.append((name, f'in:{",".join(map(str, value))}'))
        else:
            made.append((name, str(value)))
    return made


def give_formats(client: service_auth.Neighbour, image: ImageMeta, disk_format: str, container_format: str) -> None:
    """Before its data: Glance takes none of an image that does not say what it is."""
    wanted = {'disk_format': disk_format, 'container_format': container_format}
    changes = [{'op': 'replace', 'path': f'/{name}', 'value': value} for name, value in wanted.items()
               if getattr(image, name) != value]
    if changes:
        client.patch(path_of(str(image.id)), json=changes, headers=PATCH, errors=not_found(str(image.id)))


def differs(image: ImageMeta, facts: dict[str, Any]) -> str:
    """Why what Glance has is not what was sent; ''."""
    if image.size is not None and image.size != facts['size']:
        return f'the image service has {image.size} bytes of {facts["size"]}'
    for algorithm, here, sent in ((image.os_hash_algo, image.os_hash_value, facts.get('os_hash_value')),
                                  ('md5', image.checksum, facts.get('checksum'))):
        if algorithm in ('md5', facts.get('os_hash_algo')) and here and sent:
            return '' if here == sent else 'its hash is not that of what was sent'
    return ''
