#!/bin/sh
# The first thing init runs: file systems and drivers. Must not wait for anything outside of the machine.
. /lib/guest/lib.sh

mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -c /dev/ttyS0 ] || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm "$STATE" /var/log /var/run /mnt /tmp
mount -t devpts devpts /dev/pts
chmod 1777 /tmp
chmod 700 "$STATE"
hostname minicompute-guest
ip link set lo up

# Drivers create devices which want drivers: a PCI card, its virtio device, the SCSI disk behind it.
seen=''
for round in 1 2 3 4 5; do
    wanted="$(find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u)"
    [ "$wanted" = "$seen" ] && break
    printf '%s\n' "$wanted" | xargs modprobe -qa 2>/dev/null
    seen="$wanted"
done
modprobe -qa evdev sd_mod sr_mod 2>/dev/null
set_state coldplug "$round"
