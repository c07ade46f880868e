"""Bodies and answers of createImage and createBackup."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

Schema = types.Schema


def _bodies(action: str, required: list[str], **more: Schema) -> Schemas:
    made = types.single(action, types.closed({'name': types.NAME, 'metadata': types.METADATA, **more},
                                             required=required))
    return Schemas({'2.0': types.extended(made, action, name=types.NAME_WITH_SPACES), '2.1': made})


create_image = _bodies('createImage', ['name'])
create_backup = _bodies('createBackup', ['name', 'backup_type', 'rotation'], rotation=types.NON_NEGATIVE,
                        backup_type={'type': 'string', 'maxLength': 255, 'format': 'text'})
answer = Schemas({'2.1': types.NULL, '2.45': types.single('image_id', types.UUID)})
