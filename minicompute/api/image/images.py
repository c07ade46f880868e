"""Images: list, show, create, change, delete, tags."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api.image import patch, query, schemas, views
from minicompute.api.image.table import Request
from minicompute.api.openstack.answer import Answer
from minicompute.conf import CONF
from minicompute.image.local import LocalImages
from minicompute.objects import ImageMeta

PATCH_TYPES = ('application/openstack-images-v2.1-json-patch', 'application/openstack-images-v2.0-json-patch')
_FIELDS = ('id', 'name', 'visibility', 'protected', 'owner', 'container_format', 'disk_format', 'min_disk',
           'min_ram')


_store = LocalImages()


def store() -> LocalImages:
    """This API is only for the local store: in front of Glance, clients talk to Glance."""
    if CONF.image_backend != 'local':
        raise exception.NotImplementedHere('The images are not in the local store: ask the image service.')
    return _store


def index(req: Request) -> dict[str, Any]:
    parameters = req.parameters
    page = query.parse(parameters)
    # One more than asked for tells whether a further page is there.
    found = store().list(req.context, filters=page.filters, sort=page.sort, limit=page.limit + 1,
                         marker=page.marker) if page.limit else []
    shown = found[:page.limit]
    body = {'images': [views.show(image) for image in shown], 'first': query.link(parameters, None),
            'schema': '/v2/schemas/images'}
    if len(found) > page.limit:
        body['next'] = query.link(parameters, shown[-1].id)
    return body


def show(req: Request, image_id: str) -> dict[str, Any]:
    return views.show(store().show(req.context, image_id))


def create(req: Request) -> Answer:
    body = req.document()
    refuse_read_only(body)
    schemas.BODY.check(body)
    meta = ImageMeta(**{name: body[name] for name in _FIELDS if name in body})
    if 'visibility' not in body:
        meta.visibility = 'shared'    # Glance's default: as private as private, until members can be named
    meta.tags, meta.properties = _tags(body), properties_of(body)
    view = views.show(store().create(req.context, meta))
    return Answer(view, code=201, headers=[('Location', req.application_url + view['self'].removeprefix(
        '/v2' if req.application_url.endswith('/v2') else ''))])


def update(req: Request, image_id: str) -> dict[str, Any]:
    operations = req.document(PATCH_TYPES)
    schemas.PATCH.check(operations)
    image = store().show(req.context, image_id)
    before = views.show(image)
    after = patch.apply(before, operations)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
               or (name in before) != (name in after)}
    refuse_read_only(changed)
    fixed = changed & ({'id'} | schemas.BASE - after.keys())
    if fixed:
        raise exception.Forbidden(f"Attribute '{min(fixed)}' of an image cannot be removed or changed.")
    schemas.BODY.check({name: value for name, value in after.items() if name not in schemas.READ_ONLY})
    changes = {name: after[name] for name in changed if name in _FIELDS}
    if 'tags' in changed:
        changes['tags'] = _tags(after)
    if changed - set(_FIELDS) - {'tags'}:
        changes['properties'] = properties_of(after)
    return views.show(store().update(req.context, image_id, changes))


def delete(req: Request, image_id: str) -> None:
    store().delete(req.context, image_id)


def members(req: Request, image_id: str) -> dict[str, Any]:
    store().show(req.context, image_id)
    return {'members': [], 'schema': '/v2/schemas/members'}


def add_tag(req: Request, image_id: str, tag: str) -> None:
    schemas.TAG.check({'tag': tag})
    tags = store().show(req.context, image_id).tags
    if len(tags) >= schemas.MAX_TAGS and tag not in tags:
        raise exception.Invalid(f'tags: an image may have {schemas.MAX_TAGS} at most.')
    store().update(req.context, image_id, {'tags': sorted({*tags, tag})})


def remove_tag(req: Request, image_id: str, tag: str) -> None:
    tags = store().show(req.context, image_id).tags
    if tag not in tags:
        raise exception.NotFound(f"Image {image_id} has no tag '{tag[:255]}'.")
    store().update(req.context, image_id, {'tags': [other for other in tags if other != tag]})


def deactivate(req: Request, image_id: str) -> None:
    store().set_active(req.context, image_id, active=False)


def reactivate(req: Request, image_id: str) -> None:
    store().set_active(req.context, image_id, active=True)


def refuse_read_only(names: Any) -> None:
    found = schemas.READ_ONLY.keys() & set(names) if isinstance(names, (dict, set)) else set()
    if found:
        raise exception.Forbidden(f"Attribute '{min(found)}' is read-only.")


def properties_of(body: dict[str, Any]) -> dict[str, Any]:
    """The user's own, as text; `os_hidden` is kept among them when it is set."""
    found: dict[str, Any] = {name: _text(value) for name, value in body.items()
                             if name not in schemas.BASE and value is not None}
    for name in found:
        if not 0 < len(name) <= 255 or '\x00' in name:
            raise exception.Invalid(f'properties: the name {name[:64]!r} is empty, too long or holds a NUL.')
    if len(found) > schemas.MAX_PROPERTIES:
        raise exception.Invalid(f'properties: an image may have {schemas.MAX_PROPERTIES} at most.')
    if body.get('os_hidden'):
        found['os_hidden'] = True
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _tags(body: dict[str, Any]) -> list[str]:
    return sorted(set(body.get('tags', ())))
