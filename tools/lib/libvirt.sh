# shellcheck shell=bash
# libvirtd: as found, else started; and the sweep of what a killed compute may have left in it.

LIBVIRT_STARTED="$RUN/libvirtd.started"

virsh_() { virsh -q -c qemu:///system "$@" 2> /dev/null < /dev/null; }
libvirt_answers() { virsh_ uri > /dev/null; }

# open_kvm: as udev opens it, on machines that have none. libvirtd, as root, finds that QEMU knows KVM; as long as QEMU's
# user may not open it, libvirtd takes what it knows of QEMU for outdated and asks anew, seconds for each look at a domain.
open_kvm() {
    [ -c /dev/kvm ] && ! runuser -u libvirt-qemu -- test -w /dev/kvm 2> /dev/null || return 0
    chgrp kvm /dev/kvm && chmod 660 /dev/kvm || warn 'QEMU may not open /dev/kvm: libvirtd will be slow'
}

start_libvirtd() {
    open_kvm
    libvirt_answers && return 0
    say 'Starting libvirtd'
    : > "$LIBVIRT_STARTED"
    if systemd_runs; then
        must 'systemctl start libvirtd' libvirt systemctl start virtlogd.socket libvirtd
    else
        # Among our own processes: the hosts of a lab (tools/lab.sh) have theirs.
        pgrep --ns $$ --nslist pid -x virtlogd > /dev/null || {
            must 'virtlogd -d' libvirt virtlogd -d
            echo virtlogd >> "$LIBVIRT_STARTED"
        }
        must 'libvirtd -d' libvirt libvirtd -d
        echo libvirtd >> "$LIBVIRT_STARTED"
    fi
    wait_until 30 libvirt_answers || fail "libvirtd does not answer at qemu:///system: see $LOGS/libvirt.log and journalctl -u libvirtd"
}

stop_libvirtd() {
    [ -e "$LIBVIRT_STARTED" ] || return 0
    if libvirt_answers; then
        if [ -n "$(virsh_ list --name)" ]; then
            note 'libvirtd is left running: it has domains that are not ours'
            rm -f "$LIBVIRT_STARTED"
            return 0
        fi
        # libvirt's own network came up with it, and would outlive it.
        systemd_runs || virsh_ net-destroy default > /dev/null || true
    fi
    say 'Stopping libvirtd'
    if systemd_runs; then
        logged libvirt systemctl stop libvirtd libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket || true
    else
        while read -r daemon; do
            end_process "/run/$daemon.pid" 10
        done < <(tac "$LIBVIRT_STARTED")
    fi
    rm -f "$LIBVIRT_STARTED"
}

# our_domains: uuids of the domains whose disks lie under $RUN.
our_domains() {
    local uuid
    for uuid in $(virsh_ list --all --uuid); do
        if virsh_ dumpxml "$uuid" | grep -qF "'$RUN/"; then echo "$uuid"; fi
    done
}

# our_networks: of libvirt's networks that the local backend made, those that no domain uses any more.
our_networks() { virsh_ net-list --all --name | grep '^minicompute-' || true; }

# sweep_libvirt: domains of this checkout, then the networks and bridges that nobody is left on.
sweep_libvirt() {
    local name bridge
    command -v virsh > /dev/null && libvirt_answers || return 0
    for name in $(our_domains); do
        note "removing domain $name, which no daemon was there to remove"
        virsh_ destroy "$name" > /dev/null || true
        virsh_ undefine "$name" --nvram --managed-save --snapshots-metadata > /dev/null || true
    done
    for name in $(our_networks); do
        bridge="$(virsh_ net-info "$name" | awk '$1 == "Bridge:" { print $2 }')"
        if [ -n "$bridge" ] && bridge_in_use "$bridge"; then
            note "network $name is left: another checkout has servers on it"
            continue
        fi
        virsh_ net-destroy "$name" > /dev/null || true
        virsh_ net-undefine "$name" > /dev/null || true
    done
    sweep_rules
}

# sweep_rules: the routing rules of bridges that are gone (minicompute/virt/link_local.py).
sweep_rules() {
    local bridge
    for bridge in $(ip -4 rule show priority 16925 2> /dev/null | sed -n 's/.* iif \([^ ]*\).*/\1/p'); do
        [ -e "/sys/class/net/$bridge" ] || ip -4 rule del iif "$bridge" priority 16925 2> /dev/null || true
    done
}

# bridge_in_use BRIDGE: whether a guest's interface is on it.
bridge_in_use() {
    local port
    for port in "/sys/class/net/$1/brif/"*; do
        case "$port" in *-nic | *'*') ;; *) return 0 ;; esac
    done
    return 1
}

# -- the way to the disks --------------------------------------------------------
# QEMU and PostgreSQL run as users of their own, who must be able to walk to $RUN. What is opened for them is
# noted, and closed by `down`.

OPENED="$RUN/opened.paths"

# open_paths USER: let the user walk to $RUN.
open_paths() {
    local user="$1" directory
    may_enter "$user" "$RUN" && return 0
    while read -r directory; do
        may_enter "$user" "$directory" && continue
        setfacl -m "u:$user:--x" "$directory" 2> /dev/null || chmod o+x "$directory"
        note "user $user may now walk through $directory"
        echo "$user $directory" >> "$OPENED"
    done < <(prefixes "$RUN")
    may_enter "$user" "$RUN" || fail "user $user cannot reach $RUN: clone to a directory that others may enter"
}

may_enter() { runuser -u "$1" -- test -x "$2"; }

# prefixes PATH: /a, /a/b, ... up to the path.
prefixes() {
    [ "$1" = / ] || {
        prefixes "$(dirname "$1")"
        echo "$1"
    }
}

close_paths() {
    local user directory
    [ -s "$OPENED" ] || return 0
    while read -r user directory; do
        setfacl -x "u:$user" "$directory" 2> /dev/null || true
    done < "$OPENED"
    rm -f "$OPENED"
}
