"""An image as the Image API shows it: one flat object, the user's properties beside ours."""
from __future__ import annotations

import datetime
from typing import Any

from minicompute.objects import ImageMeta

_PLAIN = ('id', 'name', 'status', 'visibility', 'protected', 'owner', 'disk_format', 'container_format',
          'size', 'virtual_size', 'min_disk', 'min_ram', 'checksum', 'os_hash_algo', 'os_hash_value')


def _time(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.strftime('%Y-%m-%dT%H:%M:%SZ')


def show(image: ImageMeta) -> dict[str, Any]:
    # Ours last: a property cannot take the place of a field.
    view = dict(image.properties)
    view['os_hidden'] = str(view.get('os_hidden', False)).lower() == 'true'
    view.update({name: getattr(image, name) for name in _PLAIN})
    view.update(tags=image.tags, created_at=_time(image.created_at), updated_at=_time(image.updated_at))
    view.update(self=f'/v2/images/{image.id}', file=f'/v2/images/{image.id}/file', schema='/v2/schemas/image')
    return view
