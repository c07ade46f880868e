"""What flavor extra specs and image properties say about the hardware of a guest, and what the
configuration says about the capacity of a host.  Knows no hypervisor."""
from __future__ import annotations

import os
import time

from minicompute.conf import CONF
from minicompute.objects import ComputeNode


def offer(node: ComputeNode) -> ComputeNode:
    """Write the reservations and ratios of the configuration into the inventory of a host."""
    node.reserved_vcpus = CONF.reserved_host_cpus
    node.reserved_memory_mb = CONF.reserved_host_memory_mb
    node.reserved_disk_gb = -(-CONF.reserved_host_disk_mb // 1024)
    node.cpu_allocation_ratio = CONF.cpu_allocation_ratio
    node.ram_allocation_ratio = CONF.ram_allocation_ratio
    node.disk_allocation_ratio = CONF.disk_allocation_ratio
    return node


def uptime() -> str:
    """This host's, as uptime(1) writes it; how many users there are nobody asks."""
    with open('/proc/uptime', encoding='ascii') as reader:
        seconds = int(float(reader.read().split()[0]))
    load = ', '.join(f'{value:.2f}' for value in os.getloadavg())
    hours = f'{seconds // 3600 % 24:2}:{seconds // 60 % 60:02}'
    return f' {time.strftime("%H:%M:%S")} up {seconds // 86400} days, {hours},  0 users,  load average: {load}'
