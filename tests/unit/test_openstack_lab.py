"""tools/openstack_lab.sh removes folders, as root: only those that it made."""
from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

TOOL = pathlib.Path(__file__).parents[2] / 'tools' / 'openstack_lab.sh'
#: what the script calls that ends or removes anything, by harmless names
STUBS = ('require_root', 'take_lock', 'compute_down', 'stop_infrastructure', 'close_paths', 'prepare_machine',
         'start_infrastructure', 'start_services', 'make_openstack_things', 'say_what_next', 'parts')


def lab(home: pathlib.Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The script's own words, without the services."""
    whole = TOOL.read_text()
    call = 'main "$@"\n'
    assert whole.endswith(call)
    stubs = '\n'.join(f'{name}() {{ :; }}' for name in STUBS)
    script = f'{whole.removesuffix(call)}{stubs}\n{call}'.replace('"$(dirname "$0")"', f'"{TOOL.parent}"')
    return subprocess.run(['bash', '-c', script, str(TOOL), *words], capture_output=True, text=True, check=False,
                          env={**os.environ, 'OPENSTACK_HOME': str(home)}, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize('words', [('down', '--wipe'), ('down',), ('up',)])
def test_a_folder_of_somebody_is_left_alone(tmp_path: pathlib.Path, words: tuple[str, ...]) -> None:
    (tmp_path / 'thesis').write_text('of years')
    (tmp_path / 'ports').write_text('25000\n')             # this alone makes no lab
    before = sorted(tmp_path.rglob('*'))
    said = lab(tmp_path, *words)
    assert said.returncode == 1 and f'{tmp_path}' in said.stderr and 'no lab of this script' in said.stderr
    assert sorted(tmp_path.rglob('*')) == before


def test_what_it_made_it_removes(tmp_path: pathlib.Path) -> None:
    home = tmp_path / 'lab'
    assert lab(home, 'down', '--wipe').returncode == 0          # there is nothing to forget
    up = lab(home, 'up')
    assert up.returncode == 0, up.stderr
    (home / 'database').mkdir()
    (home / 'images').mkdir()
    for _ in range(2):
        assert lab(home, 'down', '--wipe').returncode == 0
        assert not (home / 'database').exists() and (home / 'images').exists()
    assert lab(home, 'up').returncode == 0


def test_a_lab_of_earlier_days(tmp_path: pathlib.Path) -> None:
    """Before there was a marker."""
    (tmp_path / 'ports').write_text('25000\n')
    (tmp_path / 'commands').mkdir()
    assert lab(tmp_path, 'down', '--wipe').returncode == 0
    assert not (tmp_path / 'commands').exists()
