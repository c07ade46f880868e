# shellcheck shell=bash
# minicompute in Nova's place: its daemons, its entry in the catalog, and what a first server needs. A neighbour's part
# may have a function PART_compute_settings, which prints what minicompute's configuration says of it; images, networks
# and volumes of which there is no such part are minicompute's own.

NOVNC_PORT=$((PORTS + 80))
SERIAL_PORT=$((PORTS + 81))
# shellcheck disable=SC2034  # daemons.sh reads it
DAEMONS="$DAEMONS serialproxy"
COMPUTE_URL="http://127.0.0.1:$PORT"

compute_up() {
    start_libvirtd
    open_paths libvirt-qemu
    os_service_user nova > /dev/null
    os_transport minicompute > /dev/null
    compute_settings | write_file "$CONFIG.now" 600
    # What is configured otherwise is started anew.
    if [ -e "$CONFIG" ] && ! cmp -s "$CONFIG" "$CONFIG.now"; then stop_daemons; fi
    mv "$CONFIG.now" "$CONFIG"
    [ -e "$RUN/local.conf" ] || printf '# Settings of your own. See etc/minicompute/minicompute.conf.\n' > "$RUN/local.conf"
    write_clients
    if all_daemons_run; then return 0; fi
    os_database minicompute > /dev/null
    sync_database
    start_daemons
    os_endpoint compute nova "$COMPUTE_URL/v2.1"
    declare -F neutron_up > /dev/null || os_endpoint network neutron "$COMPUTE_URL/network"
    declare -F cinder_up > /dev/null || os_endpoint block-storage cinder "$COMPUTE_URL/volume/v3"
}

compute_settings() {
    local part
    mkdir -p "$STATE"
    cat << CONF
# Written by tools/openstack_lab.sh; your own settings go to $RUN/local.conf, which is read after this file.
[DEFAULT]
host = $(host_name)
transport_url = $(os_transport minicompute)
state_path = $STATE
my_ip = 127.0.0.1
compute_driver = libvirt.LibvirtDriver
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = $PORT
metadata_listen_port = $METADATA_PORT
web = $(novnc_page)
[vnc]
novncproxy_port = $NOVNC_PORT
novncproxy_base_url = http://127.0.0.1:$NOVNC_PORT/vnc_lite.html
[serial_console]
enabled = true
serialproxy_port = $SERIAL_PORT
base_url = ws://127.0.0.1:$SERIAL_PORT/
[neutron]
service_metadata_proxy = true
metadata_proxy_shared_secret = $(secret "$RUN/metadata_secret")
[local_networks]
metadata_url = http://127.0.0.1:$METADATA_PORT
[api]
auth_strategy = keystone
[keystone_authtoken]
$(os_authtoken nova | grep -v '^memcached_servers')
[service_user]
send_service_user_token = true
$(os_credentials nova)
[database]
connection = $(os_database minicompute)
CONF
    for part in $(parts); do
        if declare -F "${part}_compute_settings" > /dev/null; then "${part}_compute_settings"; fi
    done
}

compute_down() {
    if [ -x "$VENV/bin/minicompute" ] && [ -e "$CONFIG" ]; then
        delete_all_servers
        stop_daemons
    fi
    sweep_libvirt
    stop_libvirtd
}

compute_status() {
    local daemon trouble=0
    report libvirtd libvirt_answers || trouble=1
    for daemon in $DAEMONS; do
        report "minicompute-$daemon" alive "$PIDS/$daemon.pid" || trouble=1
    done
    return "$trouble"
}

# report NAME COMMAND...: a line with up or down.
report() {
    local name="$1"
    shift
    if "$@"; then printf '%-22s up\n' "$name"; else printf '%-22s down\n' "$name" && return 1; fi
}

delete_all_servers() {
    local ids
    if ! alive "$PIDS/api.pid" || ! alive "$PIDS/keystone.pid"; then
        note 'the api or Keystone does not run: servers are removed from libvirt alone'
        return 0
    fi
    ids="$(cli list --all-tenants --minimal -f value -c ID 2>> "$LOGS/demo.log")" || {
        warn "the api does not list its servers: see $LOGS/api.log; they are removed from libvirt alone"
        return 0
    }
    [ -n "$ids" ] || return 0
    say "Deleting $(wc -w <<< "$ids") server(s)"
    # shellcheck disable=SC2086  # a list of words
    logged demo cli delete $ids --poll || warn "not all servers could be deleted through the API: see $LOGS/demo.log"
}

# -- clients ---------------------------------------------------------------------------

# write_clients: clouds.yaml for all three users, openrc for the administrator, openrc-demo for the plain user.
write_clients() {
    local who
    {
        echo 'clouds:'
        for who in admin demo other; do
            cat << YAML
  $who:
    region_name: RegionOne
    identity_api_version: 3
    auth:
      auth_url: $KEYSTONE_URL
      username: $who
      password: $(os_password "$who")
      project_name: $who
      user_domain_id: default
      project_domain_id: default
YAML
        done
    } | write_file "$RUN/clouds.yaml" 600
    client_settings admin openrc | write_file "$RUN/openrc" 600
    client_settings demo openrc-demo | write_file "$RUN/openrc-demo" 600
}

client_settings() {
    cat << RC
# . $RUN/$2       openstack, minicompute and nova are then the user $1 of the project $1.
unset \${!OS_*}
export OS_AUTH_URL=$KEYSTONE_URL OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne
export OS_USERNAME=$1 OS_PASSWORD=$(os_password "$1") OS_PROJECT_NAME=$1
export OS_USER_DOMAIN_ID=default OS_PROJECT_DOMAIN_ID=default
case ":\$PATH:" in *:'$VENV/bin':*) ;; *) export PATH='$VENV/bin':"\$PATH" ;; esac
RC
}

# cli WORD...: our own command, as the administrator.
cli() { (. "$RUN/openrc" && "$VENV/bin/minicompute" "$@"); }

make_openstack_things() {
    local public='' kinds=()
    if declare -F neutron_up > /dev/null; then public="$PUBLIC_PREFIX"; fi
    if declare -F cinder_up > /dev/null; then kinds=(nfs1 rbd1); fi
    [ -s "$KEY" ] || must 'ssh-keygen' demo ssh-keygen -q -t ed25519 -N '' -C minicompute-demo -f "$KEY"
    must 'openstack_things.py' demo env OS_CLIENT_CONFIG_FILE="$RUN/clouds.yaml" "$VENV/bin/python" \
        "$REPO/tools/lib/openstack_things.py" "$REPO/run/images/minicompute-guest.qcow2" "$KEY.pub" \
        "${MINICOMPUTE_DEMO_CIDR:-10.78.0.0/24}" "$public" "${kinds[@]}"
}

say_what_next() {
    local rel="${RUN#"$PWD"/}"
    cat << NEXT

OpenStack is up, and minicompute is its compute service. Now type:

    . $rel/openrc-demo                the clients are then the user demo; . $rel/openrc is the administrator
    openstack catalog list
    openstack keypair create --public-key $rel/demo_key.pub demo
    openstack server create one --flavor m1.nano --image minicompute-guest --network demo --key-name demo --wait
    openstack console log show one
    openstack server image create one --name one-snapshot --wait
    tools/openstack_lab.sh status         tools/openstack_lab.sh down
NEXT
}
