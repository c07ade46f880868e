#!/usr/bin/env bash
# The first process of a host of the lab, in namespaces of its own: lab_init.sh RUN HOST [shared].
# It makes the host's files look like a host's, then reaps the processes that end. With it all others die: that is
# how the lab cuts the power of a host, and why none of its processes, mounts and interfaces can stay behind.
set -eu
run="$1" host="$2" shared="${3:-}"
own="$run/hosts/$host"

# First, because umount and mount read it.
mount -t proc proc /proc
# Without control groups: they are shared by the whole machine, and two hosts that take the same guest in a
# migration would name its group alike. The new one shows this host's interfaces.
umount --lazy --recursive /sys
mount -t sysfs sysfs /sys
# As after a boot: empty.
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mkdir -p /run/lock

for pair in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
    mount --bind "$own/libvirt/${pair%%:*}" "${pair#*:}"
done
# The same path on each host, because the disks of a guest that moves keep theirs.
mount --bind "$own/node" "$run/node"
[ -z "$shared" ] || mount --bind "$run/shared/instances" "$run/node/state/instances"

# over FILE: mine instead of the machine's, if it has one. On some it is a link into the /run that is hidden now.
over() {
    local target
    target="$(readlink -m "/etc/$1")"
    case "$target" in /run/*) mkdir -p "${target%/*}" && : > "$target" ;; esac
    [ ! -e "$target" ] || mount --bind "$own/etc/$1" "$target"
}
for file in hosts hostname machine-id resolv.conf; do over "$file"; done

hostname "$host"
ip link set lo up
: > /run/lab.ready

# bash reaps what is orphaned here, as it must: libvirt takes a guest that nobody has reaped for one that lives.
while :; do
    sleep 3600 &
    wait $! || true
done
