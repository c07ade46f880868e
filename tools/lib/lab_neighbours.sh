# shellcheck shell=bash
# shellcheck disable=SC2153  # BRIDGE, PREFIX and others are lab.sh's and its parts'
# Hosts for the OpenStack of tools/openstack_lab.sh (`up --neighbours`): that one is the control plane, and each host has,
# besides libvirtd and a compute, an Open vSwitch and an agent of Neutron.
#
#   guest's tap -- br-int -- br-osphys -- second cable (lab-n1) -- br-osphys of this machine: the tenants' VLANs
#   127.0.0.1:25050 on a host -- its cable -- 127.0.0.1:25050 of this machine: what the catalog says holds there, too
#
# The services stay on loopback; the kernel translates addresses at both ends of the cable, so that a host that is cut off
# from the bridge is cut off from them.

OPENSTACK="$(readlink -m "${OPENSTACK_HOME:-$REPO/run/openstack}")"
OPENSTACK_BRIDGE=br-osphys
OPENSTACK_SWITCH=/var/run/openvswitch/db.sock
AGENT='neutron-openvswitch-agent --config-file'
# The files of a host's Open vSwitch: on its /run, which is empty after a power cut.
SWITCH=/run/openvswitch

openstack_lab() { OPENSTACK_HOME="$OPENSTACK" "$REPO/tools/openstack_lab.sh" "$@" 9>&-; }

openstack_port() { echo $(($(cat "$OPENSTACK/ports") + $1)); }

# openstack_ports: those that a host is let to: broker, Ceph, Keystone, Cinder, Glance, Neutron. Not the databases.
openstack_ports() {
    local one list=''
    for one in 50 72 76 92 96; do list="$list,$(openstack_port "$one")"; done
    printf '%s:%s%s\n' "$(openstack_port 33)" "$(openstack_port 48)" "$list"
}

data_cable_of() { printf '%s-n%s' "$LAB_NAME" "${1#host}"; }

start_neighbours() {
    [ -x "$OPENSTACK/venv/bin/neutron-openvswitch-agent" ] && openstack_lab status > /dev/null 2>&1 || {
        say 'The neighbours: tools/openstack_lab.sh up'
        : > "$RUN/neighbours.started"
        openstack_lab up || fail 'the neighbours do not come up: tools/openstack_lab.sh up'
    }
}

# neighbour_settings: for the computes, which have no database; what a host has of its own comes after it.
neighbour_settings() {
    awk '/^\[/ { skip = $0 == "[database]" } !skip' "$OPENSTACK/minicompute.conf" | write_file "$RUN/neighbours.conf" 600
    {
        cat << CONF
# Written by tools/lab.sh; your own settings go to $RUN/local.conf, which is read after this file.
[DEFAULT]
state_path = $RUN/node/state
report_interval = 3
[libvirt]
virt_type = qemu
remote_uri = qemu+tls://%s/system?pkipath=$RUN/node/pki/libvirt
CONF
    } | write_file "$RUN/compute.conf" 600
    [ -e "$RUN/local.conf" ] || printf '# Settings of your own, for the computes. See etc/minicompute/minicompute.conf.\n' > "$RUN/local.conf"
}

# -- the way to the services ---------------------------------------------------------

translation_rules() {
    cat << RULES
PREROUTING -i $BRIDGE -d $PREFIX.1 -p tcp -m multiport --dports $(openstack_ports) -j DNAT --to-destination 127.0.0.1
RULES
}

translate() {
    local rule
    echo 1 > "/proc/sys/net/ipv4/conf/$BRIDGE/route_localnet"
    while read -r rule; do
        # shellcheck disable=SC2086  # words of a rule
        iptables -w -t nat -C $rule 2> /dev/null || must 'iptables' network iptables -w -t nat -I $rule
    done < <(translation_rules)
}

translate_no_more() {
    local rule
    [ -s "$OPENSTACK/ports" ] || return 0
    while read -r rule; do
        # shellcheck disable=SC2086
        while iptables -w -t nat -D $rule 2> /dev/null; do :; done
    done < <(translation_rules)
}

translate_on() {
    local host="$1" rule
    in_host "$host" bash -c 'echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet'
    for rule in "OUTPUT -d 127.0.0.1 -p tcp -m multiport --dports $(openstack_ports) -j DNAT --to-destination $PREFIX.1" \
        'POSTROUTING -o eth0 -s 127.0.0.1 -j MASQUERADE'; do
        # shellcheck disable=SC2086
        in_host "$host" iptables -w -t nat -C $rule 2> /dev/null ||
            must "iptables on $host" "$host" in_host "$host" iptables -w -t nat -A $rule
    done
}

# -- the switch and its agent ----------------------------------------------------------

switch_of_here() { ovs-vsctl "--db=unix:$OPENSTACK_SWITCH" --timeout=20 "$@"; }
in_switch() { in_host "$1" ovs-vsctl "--db=unix:$SWITCH/db.sock" --timeout=20 "${@:2}"; }

# start_neighbours_of HOST: all that it has besides, but for the compute.
start_neighbours_of() {
    local host="$1" cable
    cable="$(data_cable_of "$host")"
    translate_on "$host"
    if ! link_exists "$cable"; then
        must "the second cable of $host" network ip link add "$cable" type veth peer name eth1 netns "$(host_init "$host")"
        # In two steps: of one vswitchd sees nothing, and keeps the device of before a power cut.
        must "the second cable of $host" network switch_of_here -- --if-exists del-port "$OPENSTACK_BRIDGE" "$cable"
        must "the second cable of $host" network switch_of_here -- add-port "$OPENSTACK_BRIDGE" "$cable"
    fi
    in_host "$host" ip link set eth1 up
    if is_cut "$host"; then ip link set "$cable" down; else ip link set "$cable" up; fi
    start_switch_of "$host"
    start_agent_of "$host"
    keep_secret_of "$host"
}

start_switch_of() {
    local host="$1"
    in_host "$host" mkdir -p "$SWITCH"
    [ -n "$(pids_in "$host" -x ovsdb-server)" ] || {
        in_host "$host" rm -f "$SWITCH/conf.db"
        must "Open vSwitch's database on $host" "$host" in_host "$host" ovsdb-tool create "$SWITCH/conf.db" \
            /usr/share/openvswitch/vswitch.ovsschema
        must "Open vSwitch's database on $host" "$host" in_host "$host" env OVS_RUNDIR="$SWITCH" ovsdb-server "$SWITCH/conf.db" \
            "--remote=punix:$SWITCH/db.sock" "--remote=ptcp:$(openstack_port 61):127.0.0.1" \
            "--pidfile=$SWITCH/ovsdb-server.pid" "--log-file=$LOGS/ovsdb-$host.log" --detach
    }
    [ -n "$(pids_in "$host" -x ovs-vswitchd)" ] || {
        # As on this machine: without it TCP of guests hangs, as nobody fills in their checksums.
        must "Open vSwitch of $host" "$host" in_switch "$host" --no-wait -- init -- set Open_vSwitch . \
            "external_ids:system-id=$host" other_config:userspace-tso-enable=true
        must "Open vSwitch of $host" "$host" in_host "$host" env OVS_RUNDIR="$SWITCH" ovs-vswitchd "unix:$SWITCH/db.sock" \
            "--pidfile=$SWITCH/ovs-vswitchd.pid" "--log-file=$LOGS/vswitchd-$host.log" --detach
    }
    must "the bridge of $host" "$host" in_switch "$host" -- --may-exist add-br "$OPENSTACK_BRIDGE" \
        -- set bridge "$OPENSTACK_BRIDGE" datapath_type=netdev -- --may-exist add-port "$OPENSTACK_BRIDGE" eth1
}

agent_runs() { [ -n "$(pids_in "$1" -f "$AGENT")" ]; }

# start_agent_of HOST: with the settings of the agent of this machine, and another name.
start_agent_of() {
    local host="$1" etc="$OPENSTACK/etc/neutron" own="$RUN/node/neutron"
    ! agent_runs "$host" || return 0
    in_host "$host" mkdir -p "$own"/{state,lock}
    write_file "$RUN/hosts/$host/node/neutron.conf" 600 << CONF
# Written by tools/lab.sh.
[DEFAULT]
host = $host
state_path = $own/state
[oslo_concurrency]
lock_path = $own/lock
CONF
    in_host "$host" env -i PATH="$OPENSTACK/venv/bin:$PATH" HOME="${HOME:-/root}" LANG=C.UTF-8 OVS_RUNDIR="$SWITCH" \
        start-stop-daemon --start --quiet --background --pidfile /run/none.pid --chdir "$RUN" \
        --output "$LOGS/neutron-$host.out" --startas "$OPENSTACK/venv/bin/neutron-openvswitch-agent" -- \
        --config-file "$etc/neutron.conf" --config-file "$etc/ml2_conf.ini" --config-file "$RUN/node/neutron.conf" \
        --log-file "$LOGS/neutron-$host.log"
}

# keep_secret_of HOST: QEMU has Ceph's key from its host's libvirt.
keep_secret_of() {
    local ceph="$OPENSTACK/ceph" key
    key="$(CEPH_CONF="$ceph/ceph.conf" ceph-authtool -p -n client.cinder "$ceph/keyring")"
    logged "$1" in_host "$1" virsh -q secret-define "$ceph/secret.xml" &&
        in_host "$1" virsh -q secret-set-value "$(cat "$ceph/libvirt-secret")" "$key" > /dev/null 2>&1 < /dev/null ||
        fail "libvirt of $1 does not take the secret of Ceph: see $LOGS/$1.log"
}

# await_agent_of HOST: Neutron binds no port to a host whose agent it has not heard.
await_agent_of() {
    ! is_cut "$1" || return 0
    wait_until 90 agent_is_known "$1" || fail "Neutron does not hear of the agent of $1: see $LOGS/neutron-$1.log"
}

agent_is_known() {
    openstack_admin network agent list --host "$1" -f value -c Alive 2>> "$LOGS/neighbours.log" | grep -qx True
}

# openstack_admin WORD...: the unmodified client, as the administrator.
openstack_admin() { (. "$OPENSTACK/openrc" && "$VENV/bin/openstack" "$@" < /dev/null 9>&-); }

# -- the end -----------------------------------------------------------------------------

# forget_hosts: the services know nothing of them any more. Servers first, while their computes can still be asked.
forget_hosts() {
    local host ids
    alive "$OPENSTACK/pids/api.pid" && alive "$OPENSTACK/pids/keystone.pid" || return 0
    for host in $(all_hosts); do
        ids="$(openstack_admin server list --all-projects --host "$host" -f value -c ID 2>> "$LOGS/neighbours.log" | xargs)"
        # shellcheck disable=SC2086  # a list of words
        [ -z "$ids" ] || logged neighbours openstack_admin server delete --all-projects --wait $ids ||
            warn "not all servers of $host could be deleted: see $LOGS/neighbours.log"
    done
}

forget_services() {
    local host id
    alive "$OPENSTACK/pids/api.pid" && alive "$OPENSTACK/pids/keystone.pid" || return 0
    for host in $(all_hosts); do
        for id in $(openstack_admin compute service list --host "$host" -f value -c ID 2>> "$LOGS/neighbours.log"); do
            logged neighbours openstack_admin compute service delete "$id" || warn "the service of $host stays: see $LOGS/neighbours.log"
        done
        for id in $(openstack_admin network agent list --host "$host" -f value -c ID 2>> "$LOGS/neighbours.log"); do
            logged neighbours openstack_admin network agent delete "$id" || warn "the agent of $host stays: see $LOGS/neighbours.log"
        done
    done
}

stop_neighbours() {
    local name
    translate_no_more
    for name in $(ip -o link show | sed -nE "s/^[0-9]+: ($LAB_NAME-n[0-9]+)[@:].*/\\1/p"); do
        switch_of_here -- --if-exists del-port "$OPENSTACK_BRIDGE" "$name" 2> /dev/null || true
        ip link delete "$name" 2> /dev/null || true
    done
    [ -e "$RUN/neighbours.started" ] || return 0
    openstack_lab down || warn 'the neighbours do not all end: tools/openstack_lab.sh down'
    rm -f "$RUN/neighbours.started"
}
