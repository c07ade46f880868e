"""From a server's record to what its guest is told: the one builder of config drives and of the metadata API."""
from __future__ import annotations

from typing import Any

from minicompute.conf import CONF
from minicompute.objects import Instance
from minicompute.virt import metadata, vendordata

_CERTIFICATE = '-----BEGIN CERTIFICATE'


def describe(instance: Instance, **more: Any) -> metadata.InstanceMetadata:
    """`more`: what only one of the two knows (admin_pass, files). Raises VendorDataFailed."""
    return metadata.from_instance(
        instance, dhcp_domain=CONF.dhcp_domain, keys=_keys(instance), devices=_devices(instance),
        vendor_data=vendordata.static(), vendor_data2=vendordata.dynamic(instance), **more)


def _keys(instance: Instance) -> list[metadata.Key]:
    if not instance.key_name or not instance.key_data:
        return []
    kind = 'x509' if instance.key_data.startswith(_CERTIFICATE) else 'ssh'
    return [metadata.Key(instance.key_name, instance.key_data, kind)]


def _devices(instance: Instance) -> list[metadata.Device]:
    """What has a tag. A card is told by its MAC address and a volume by its serial number: at which address of the bus
    they are is the hypervisor's choice, anew at each start."""
    cards = [metadata.Device('nic', [vif.tag], mac=vif.mac_address) for vif in instance.network_info if vif.tag]
    disks = [metadata.Device('disk', [device.tag], serial=device.volume_id)
             for device in instance.block_devices if device.tag]
    return cards + disks
