# shellcheck shell=bash
# Neutron: ML2 with Open vSwitch, on its userspace datapath, so that the kernel needs no module of it; agents for
# Open vSwitch, DHCP, routers and metadata on this host. Guests are plugged by libvirt itself.
#
#   guest's tap -- br-int -- br-osphys (VLANs of the tenants; untagged: the network `public`, and this host's 198.51.100.1)

os_packages neutron==29.0.0

NEUTRON_PORT=$((PORTS + 96))
NEUTRON_URL="http://127.0.0.1:$NEUTRON_PORT"
NEUTRON_ETC="$OS_ETC/neutron"
NEUTRON_STATE="$RUN/neutron"
OVSDB_PORT=$((PORTS + 61))
# libvirt's ovs-vsctl looks here; the agents' in OVS_RUNDIR.
OVS_SOCKET=/var/run/openvswitch/db.sock
NEUTRON_BRIDGE=br-osphys
NEUTRON_SERVERS='neutron neutron-rpc neutron-periodic'
NEUTRON_AGENTS='neutron-ovs-agent neutron-dhcp-agent neutron-l3-agent neutron-metadata-agent'
PUBLIC_PREFIX=198.51.100

export OVS_RUNDIR="$NEUTRON_STATE/ovs" OVS_DBDIR="$NEUTRON_STATE/ovs" OVS_LOGDIR="$LOGS" OVS_SYSCONFDIR="$NEUTRON_STATE/ovs"

neutron_early() {
    mkdir -p "$NEUTRON_STATE/ovs"
    start_openvswitch
}

neutron_up() {
    mkdir -p "$NEUTRON_ETC" "$NEUTRON_STATE"/{ovs,lock,state}
    os_database neutron > /dev/null
    os_transport neutron > /dev/null
    os_service_user neutron > /dev/null
    os_service_user nova > /dev/null
    neutron_settings | write_file "$NEUTRON_ETC/neutron.conf" 600
    ml2_settings | write_file "$NEUTRON_ETC/ml2_conf.ini" 600
    agent_settings | write_file "$NEUTRON_ETC/agents.ini" 600
    cp "$(os_venv)/etc/neutron/api-paste.ini" "$NEUTRON_ETC/"
    start_openvswitch
    [ -e "$RUN/neutron.made" ] || {
        note 'making its database'
        must 'neutron-db-manage' neutron-db-manage "$(os_venv)/bin/neutron-db-manage" \
            --config-file "$NEUTRON_ETC/neutron.conf" --config-file "$NEUTRON_ETC/ml2_conf.ini" upgrade heads
        os_endpoint network neutron "$NEUTRON_URL"
        touch "$RUN/neutron.made"
    }
    os_start neutron env OS_NEUTRON_CONFIG_DIR="$NEUTRON_ETC" OS_NEUTRON_CONFIG_FILES='neutron.conf;ml2_conf.ini' \
        uwsgi --ini "$(os_wsgi neutron "$NEUTRON_PORT" neutron.wsgi.api:application 1 4)"
    neutron_start neutron-rpc neutron-rpc-server ml2_conf.ini
    neutron_start neutron-periodic neutron-periodic-workers ml2_conf.ini
    os_await neutron "$NEUTRON_URL"
    neutron_start neutron-ovs-agent neutron-openvswitch-agent ml2_conf.ini
    neutron_start neutron-dhcp-agent neutron-dhcp-agent agents.ini
    neutron_start neutron-l3-agent neutron-l3-agent agents.ini
    neutron_start neutron-metadata-agent neutron-metadata-agent agents.ini
    note "Neutron answers at $NEUTRON_URL"
}

# neutron_start NAME PROGRAM FILE: with Neutron's own settings and those of the file.
neutron_start() {
    os_start "$1" env OVS_RUNDIR="$OVS_RUNDIR" "$2" --config-file "$NEUTRON_ETC/neutron.conf" \
        --config-file "$NEUTRON_ETC/$3" --log-file "$LOGS/$1.log"
}

# Agents first: one that cannot reach the broker does not end.
neutron_down() {
    local name pid spaces
    spaces="$(neutron_namespaces)"
    # shellcheck disable=SC2086  # a list of words
    for name in $NEUTRON_AGENTS $NEUTRON_SERVERS; do os_stop "$name" 15; done
    for pid in $(pgrep -f -- "privsep-helper .*$NEUTRON_ETC/" || true); do kill "$pid" 2> /dev/null || true; done
    for name in $spaces; do
        for pid in $(ip netns pids "$name" 2> /dev/null); do kill "$pid" 2> /dev/null || true; done
        ip netns delete "$name" 2> /dev/null || true
    done
    stop_openvswitch
}

neutron_namespaces() {
    local id
    mariadb --no-defaults -u root -S "$TEST_DIR/mariadb.sock" -N \
        -e 'SELECT id FROM neutron.networks UNION SELECT id FROM neutron.routers' 2> /dev/null | while read -r id; do
        for id in "qdhcp-$id" "qrouter-$id"; do
            if [ -e "/run/netns/$id" ]; then echo "$id"; fi
        done
    done
}

neutron_status() {
    local name trouble=0
    report 'Open vSwitch' alive "$PIDS/ovs-vswitchd.pid" || trouble=1
    for name in $NEUTRON_SERVERS $NEUTRON_AGENTS; do report "$name" alive "$PIDS/$name.pid" || trouble=1; done
    return "$trouble"
}

# -- Open vSwitch -----------------------------------------------------------------------

# Its database lives as long as it runs: the agent makes what belongs there anew.
start_openvswitch() {
    local db="$OVS_DBDIR/conf.db"
    if alive "$PIDS/ovs-vswitchd.pid" && alive "$PIDS/ovsdb-server.pid"; then return 0; fi
    os_stop ovs-vswitchd
    os_stop ovsdb-server
    if ovs-vsctl --timeout=2 "--db=unix:$OVS_SOCKET" show > /dev/null 2>&1; then
        fail "an Open vSwitch of somebody else answers at $OVS_SOCKET: stop it first"
    fi
    rm -f "$db" "$OVS_RUNDIR"/*.ctl
    mkdir -p "$(dirname "$OVS_SOCKET")"
    must 'ovsdb-tool create' openvswitch ovsdb-tool create "$db" /usr/share/openvswitch/vswitch.ovsschema
    os_start ovsdb-server env OVS_RUNDIR="$OVS_RUNDIR" ovsdb-server "$db" "--remote=punix:$OVS_SOCKET" \
        "--remote=punix:$OVS_RUNDIR/db.sock" \
        "--remote=ptcp:$OVSDB_PORT:127.0.0.1" "--unixctl=$OVS_RUNDIR/ovsdb-server.ctl"
    wait_until 10 test -S "$OVS_SOCKET" || fail "Open vSwitch's database does not start: see $LOGS/ovsdb-server.out"
    # Before vswitchd starts: without it TCP of guests hangs, as nobody fills in their checksums.
    must 'ovs-vsctl' openvswitch ovs-vsctl "--db=unix:$OVS_SOCKET" --no-wait -- init -- set Open_vSwitch . \
        "external_ids:system-id=$(host_name)" other_config:userspace-tso-enable=true
    os_start ovs-vswitchd env OVS_RUNDIR="$OVS_RUNDIR" ovs-vswitchd "unix:$OVS_SOCKET" "--unixctl=$OVS_RUNDIR/ovs-vswitchd.ctl"
    must 'ovs-vsctl add-br' openvswitch ovs-vsctl "--db=unix:$OVS_SOCKET" --timeout=20 -- --may-exist add-br "$NEUTRON_BRIDGE" \
        -- set bridge "$NEUTRON_BRIDGE" datapath_type=netdev
    logged openvswitch ip address replace "$PUBLIC_PREFIX.1/24" dev "$NEUTRON_BRIDGE" || fail "$NEUTRON_BRIDGE gets no address"
    logged openvswitch ip link set "$NEUTRON_BRIDGE" up
}

stop_openvswitch() {
    local bridge
    if alive "$PIDS/ovs-vswitchd.pid"; then
        for bridge in br-int "$NEUTRON_BRIDGE"; do
            logged openvswitch ovs-vsctl "--db=unix:$OVS_SOCKET" --timeout=10 -- --if-exists del-br "$bridge" || true
        done
    fi
    os_stop ovs-vswitchd
    os_stop ovsdb-server
    rm -f "$OVS_SOCKET"
    rmdir "$(dirname "$OVS_SOCKET")" 2> /dev/null || true
}

# -- settings ---------------------------------------------------------------------------

neutron_settings() {
    cat << CONF
[DEFAULT]
host = $(host_name)
state_path = $NEUTRON_STATE/state
auth_strategy = keystone
api_paste_config = $NEUTRON_ETC/api-paste.ini
core_plugin = ml2
service_plugins = router
transport_url = $(os_transport neutron)
dhcp_agents_per_network = 1
rpc_workers = 1
rpc_state_report_workers = 0
interface_driver = openvswitch
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
[agent]
root_helper = env
root_helper_daemon =
[ovs]
datapath_type = netdev
ovsdb_connection = tcp:127.0.0.1:$OVSDB_PORT
integration_bridge = br-int
of_listen_address = 127.0.0.1
of_listen_port = $((PORTS + 60))
bridge_mappings = physnet1:$NEUTRON_BRIDGE
[database]
connection = $(os_database neutron)
[oslo_concurrency]
lock_path = $NEUTRON_STATE/lock
[keystone_authtoken]
$(os_authtoken neutron)
[nova]
$(os_credentials neutron)
CONF
}

ml2_settings() {
    cat << CONF
[ml2]
type_drivers = flat,vlan,local
tenant_network_types = vlan
mechanism_drivers = openvswitch
extension_drivers = port_security
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199
[ml2_type_flat]
flat_networks = physnet1
[securitygroup]
enable_security_group = true
firewall_driver = openvswitch
enable_ipset = false
CONF
}

agent_settings() {
    cat << CONF
[DEFAULT]
dhcp_driver = neutron.agent.linux.dhcp.Dnsmasq
enable_isolated_metadata = true
force_metadata = true
agent_mode = legacy
nova_metadata_host = 127.0.0.1
nova_metadata_port = $METADATA_PORT
nova_metadata_protocol = http
metadata_proxy_shared_secret = $(secret "$RUN/metadata_secret")
metadata_workers = 0
CONF
}

# neutron_compute_settings: what minicompute's configuration says of it.
neutron_compute_settings() {
    cat << CONF
[DEFAULT]
network_backend = neutron
[neutron]
$(os_credentials nova)
CONF
}
