"""docs/images.md lists the image properties that mean something to us: those that the code reads, and no other."""
from __future__ import annotations

import ast
import pathlib
import re

import minicompute
from minicompute.objects.image_meta import KNOWN_PROPERTIES
from minicompute.virt import unkept

PACKAGE = pathlib.Path(minicompute.__file__).parent
READERS = ('virt', 'scheduler', 'compute')
NAME = re.compile(r'(hw|os|img)_[a-z0-9_]+')
#: attributes of images and signatures, which images of servers do not inherit, and os-vif's group of options
OTHERS = re.compile(r'os_(hash_\w+|hidden|glance\w*|vif_ovs)|img_signature\w*')


def names_read() -> set[str]:
    found = set()
    for folder in READERS:
        for path in (PACKAGE / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                    found.add(node.value)
                elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                    if str(node.values[0].value) in ('hw_cpu_', 'hw_cpu_max_') and len(node.values) == 2:
                        found |= {f'{node.values[0].value}{part}' for part in ('sockets', 'cores', 'threads')}
    # The beginnings of such names are constants, too.
    return {name for name in found if not OTHERS.fullmatch(name) and not name.endswith('_')}


TEXT = (PACKAGE.parent / 'docs' / 'images.md').read_text()


def test_the_list_is_what_the_code_reads() -> None:
    text = TEXT
    listed = re.findall(r'^\| `((?:hw|os|img)_[a-z0-9_]+)` \|', text, re.MULTILINE)
    assert listed == sorted(set(listed)), 'the list is sorted, and names each of them once'
    assert set(listed) == names_read() - unkept.OF_IMAGES


def names_in(paragraph: str) -> set[str]:
    """The properties that the paragraph of these first words names."""
    (found,) = [part for part in TEXT.split('\n\n') if part.startswith(paragraph)]
    return set(re.findall(r'`((?:hw|os|img)_[a-z0-9_]+)`', found))


def test_all_that_nova_knows_is_honoured_or_refused_or_said_to_mean_nothing() -> None:
    refused, nothing = names_in('**Refused'), names_in('**Without meaning')
    assert refused == unkept.OF_IMAGES and not nothing & (refused | names_read())
    known = {name for name in KNOWN_PROPERTIES if NAME.fullmatch(name)}
    assert known - names_read() - refused - signatures == nothing


#: what `verify_glance_signatures` is about: a paragraph of its own
signatures = {name for name in KNOWN_PROPERTIES if name.startswith('img_signature')}


def test_they_are_nova_s_names() -> None:
    assert names_read() - {'os_shutdown_timeout'} <= KNOWN_PROPERTIES
