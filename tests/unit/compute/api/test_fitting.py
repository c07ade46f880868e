from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.compute.api import fitting
from minicompute.objects import Flavor, ImageMeta

GIB = 1 << 30


def flavor(root_gb=1):
    return Flavor(flavorid='1', name='f', memory_mb=64, vcpus=1, root_gb=root_gb)


@pytest.mark.parametrize('facts, error', [
    ({'status': 'queued'}, exception.ImageNotActive), ({'min_ram': 65}, exception.FlavorMemoryTooSmall),
    ({'min_disk': 2}, exception.FlavorDiskTooSmall), ({'size': GIB + 1}, exception.FlavorDiskTooSmall),
    ({'size': 1, 'virtual_size': GIB + 1}, exception.FlavorDiskTooSmall)])
def test_an_image_that_does_not_fit(facts, error):
    with pytest.raises(error):
        fitting.check(ImageMeta(**{'id': 'i', **facts}), flavor(), zero_disk_allowed=False)


def test_an_image_that_fits():
    fitting.check(ImageMeta(size=GIB, virtual_size=GIB, min_disk=1, min_ram=64), flavor(), zero_disk_allowed=False)


def test_a_flavor_without_a_disk_takes_any_image():
    fitting.check(ImageMeta(size=GIB * 9, min_disk=9), flavor(0), zero_disk_allowed=True)
    with pytest.raises(exception.Forbidden):
        fitting.check(ImageMeta(), flavor(0), zero_disk_allowed=False)


@pytest.mark.parametrize('said, asked, expected', [
    (None, None, False), (None, True, True), ('true', None, True), ('true', False, False), ('no', None, False)])
def test_auto_disk_config(said, asked, expected):
    image = ImageMeta(properties={} if said is None else {'auto_disk_config': said})
    assert fitting.auto_disk_config(image, asked) is expected
