"""Whether an image and a flavor go together."""
from __future__ import annotations

from minicompute import exception
from minicompute.objects import Flavor, ImageMeta
from minicompute.virt import hardware

GIB = 1 << 30
#: what an image of a volume-backed server says of disks is for its boot alone
OF_DISKS = ('block_device_mapping', 'bdm_v2')


class FlavorDiskSmallerThanMinDisk(exception.FlavorDiskTooSmall):
    msg_fmt = ("Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
               '%(flavor_gb)i GiB, minimum size is %(image_gb)i GiB.')


class AutoDiskConfigDisabledByImage(exception.Invalid):
    msg_fmt = 'Requested image %(image)s has automatic disk resize disabled.'


class ZeroDiskFlavor(exception.Forbidden):
    msg_fmt = 'Only volume-backed servers are allowed for flavors with zero disk.'


def check(image: ImageMeta, flavor: Flavor, *, zero_disk_allowed: bool) -> None:
    """Raises ImageNotActive, FlavorMemoryTooSmall, FlavorDiskTooSmall, ZeroDiskFlavor."""
    if image.status != 'active':
        raise exception.ImageNotActive(image_id=image.id)
    if flavor.memory_mb < (image.min_ram or 0):
        raise exception.FlavorMemoryTooSmall
    if flavor.root_gb == 0:      # the root disk is then as large as the image
        if not zero_disk_allowed:
            raise ZeroDiskFlavor
        return
    if flavor.root_gb < (image.min_disk or 0):
        raise FlavorDiskSmallerThanMinDisk(flavor_gb=flavor.root_gb, image_gb=image.min_disk)
    needed = max(image.size or 0, image.virtual_size or 0)
    if needed > flavor.root_gb * GIB:
        raise exception.FlavorDiskTooSmall(flavor_gb=flavor.root_gb, image_gb=-(-needed // GIB))


def check_volume(image: ImageMeta, flavor: Flavor, size_gb: int) -> None:
    """The same for a root disk that is a volume; the image has no id when the volume is there already."""
    check_content(image, size_gb)
    if flavor.memory_mb < (image.min_ram or 0):
        raise exception.FlavorMemoryTooSmall


def check_content(image: ImageMeta, size_gb: int) -> None:
    """A volume of so many GiB can begin with it. Raises ImageNotActive, Invalid."""
    if image.status != 'active':
        raise exception.ImageNotActive(image_id=image.id)
    needed = max(image.size or 0, image.virtual_size or 0, (image.min_disk or 0) * GIB)
    if needed > size_gb * GIB:
        raise exception.Invalid(f'Volume is smaller than the image or its min_disk: the volume has {size_gb} GiB, the '
                                f'image needs {-(-needed // GIB)} GiB.')


def check_hardware(image: ImageMeta, flavor: Flavor) -> None:
    """What no host gives, or nobody understands; what a host of its own has not says that host. Raises Invalid."""
    try:
        hardware.guest(flavor, image.properties)
    except exception.ComputeException as error:
        raise exception.Invalid(str(error)) from None


def auto_disk_config(image: ImageMeta, asked: bool | None) -> bool:
    """What OS-DCF:diskConfig says, or else the image. Raises AutoDiskConfigDisabledByImage."""
    said = str(image.properties.get('auto_disk_config', '')).lower()
    if asked and said == 'disabled':
        raise AutoDiskConfigDisabledByImage(image=image.id)
    return said in ('true', '1', 'yes') if asked is None else asked


def properties(image: ImageMeta) -> dict[str, object]:
    """What a server keeps of its image: the properties, and the facts that 2.98 shows among them."""
    kept: dict[str, object] = {key: value for key, value in image.properties.items() if key not in OF_DISKS}
    if image.id:
        kept['base_image_ref'] = image.id
    for name in ('container_format', 'disk_format', 'min_disk', 'min_ram'):
        value = getattr(image, name)
        if value is not None:
            kept[name] = str(value)
    return kept
