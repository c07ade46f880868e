from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.compute.api import device_names
from minicompute.objects import BlockDevice

LOCAL = BlockDevice(source_type='blank', destination_type='local')


def named(*names: str) -> list[BlockDevice]:
    return [BlockDevice(source_type='volume', destination_type='volume', device_name=name) for name in names]


@pytest.mark.parametrize('root, devices, wanted, expected', [
    ('/dev/vda', [LOCAL], None, '/dev/vdb'), (None, [LOCAL], None, '/dev/vdb'),
    ('/dev/sda', [LOCAL, LOCAL], None, '/dev/sdc'), ('/dev/vda1', [LOCAL], None, '/dev/vdb'),
    ('/dev/vda', [LOCAL, *named('/dev/vdb', '/dev/vdd')], None, '/dev/vdc'),
    ('/dev/vda', [LOCAL, LOCAL, *named('/dev/vdb')], None, '/dev/vdd'),
    ('/dev/vda', [LOCAL], '/dev/vdz', '/dev/vdz'), ('/dev/vda', [LOCAL], '/dev/sdc', '/dev/vdc'),
    ('/dev/sda', [LOCAL], '/dev/xvdf', '/dev/sdf')])
def test_names(root, devices, wanted, expected):
    assert device_names.pick(root, devices, wanted) == expected


def test_refusals():
    for wanted in ('/dev/vda', '/dev/sda', '/dev/vdb'):
        with pytest.raises(exception.DevicePathInUse):
            device_names.pick('/dev/vda', [LOCAL, *named('/dev/vdb')], wanted)
    for wanted in ('vdb', '/dev/', '/dev/vdaa', '/etc/passwd', '/dev/vdb;x'):
        with pytest.raises(exception.Invalid, match='device path'):
            device_names.pick('/dev/vda', [LOCAL], wanted)
    with pytest.raises(exception.TooManyDiskDevices):
        device_names.pick('/dev/vda', [LOCAL] * 26)
