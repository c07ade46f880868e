from __future__ import annotations

import pathlib
import threading

import pytest

from minicompute.virt import growth
from minicompute.virt.request import no_progress


def test_it_tells_while_the_file_grows(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, 'INTERVAL', 0.005)
    said: list[tuple[str, int | None]] = []
    path, heard = tmp_path / 'image', threading.Condition()

    def progress(stage: str, percent: int | None = None) -> None:
        with heard:
            said.append((stage, percent))
            heard.notify_all()
    with growth.told(str(path), 1000, 'image', progress):
        for size in (250, 1000):      # not there at first, which is no error
            path.write_bytes(b'x' * size)
            with heard:
                assert heard.wait_for(lambda s=size: ('image', min(99, s // 10)) in said, 30)    # type: ignore[misc]
    count = len(said)
    assert said == sorted(said)
    assert threading.active_count() and len(said) == count, 'nobody looks any more'


def test_nobody_looks_when_nobody_listens(tmp_path: pathlib.Path) -> None:
    before = threading.active_count()
    for size, progress in ((None, print), (0, print), (10, no_progress)):
        with growth.told(str(tmp_path / 'x'), size, 'image', progress):    # type: ignore[arg-type]
            assert threading.active_count() == before


def test_what_fails_inside_fails_outside(tmp_path: pathlib.Path) -> None:
    before = threading.active_count()
    with pytest.raises(OSError, match='broken'), growth.told(str(tmp_path / 'x'), 10, 'image', print):
        raise OSError('broken')
    assert threading.active_count() == before
