# shellcheck shell=bash
# What is written under run/: the daemons' configuration, and what clients read.

# MINICOMPUTE_PORT is said once, and kept.
PORT="${MINICOMPUTE_PORT:-$(cat "$RUN/port" 2> /dev/null || echo 8774)}"
# Those beside the API: two checkouts on one machine must not meet.
METADATA_PORT=$((PORT + 1))
if [ "$PORT" = 8774 ]; then NOVNC_PORT=6080; else NOVNC_PORT=$((PORT + 2)); fi
CONFIG="$RUN/minicompute.conf"
STATE="$RUN/state"

write_configuration() {
    mkdir -p "$STATE"
    printf '%s\n' "$PORT" > "$RUN/port"
    write_file "$CONFIG" 600 << CONF
# Written by tools/quickstart.sh; your own settings go to $RUN/local.conf, which is read after this file.
[DEFAULT]
host = $(host_name)
transport_url = $(transport_url)
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

[neutron]
service_metadata_proxy = true
metadata_proxy_shared_secret = $(secret "$RUN/metadata_secret")

[local_networks]
metadata_url = http://127.0.0.1:$METADATA_PORT

[api]
auth_strategy = noauth2

[metrics]
api_port = $((PORT + 3))
conductor_port = $((PORT + 4))
scheduler_port = $((PORT + 5))
compute_port = $((PORT + 6))

[database]
connection = ${MINICOMPUTE_DATABASE:-sqlite:///$RUN/minicompute.sqlite}
CONF
    [ -e "$RUN/local.conf" ] || printf '# Settings of your own. See etc/minicompute/minicompute.conf.\n' > "$RUN/local.conf"
    write_clouds
    write_openrc
}

# host_name: kept, because a compute that changes its name is another one; with a mark of this checkout, because
# the computes of two of them on one libvirtd must not share a name.
host_name() {
    [ -s "$RUN/host" ] || printf '%s-%s' "$(hostname -s)" $(($(tag) % 10000)) > "$RUN/host"
    cat "$RUN/host"
}

# write_file PATH MODE: from standard input, in one piece; a file that is the same already keeps its date.
write_file() {
    (umask 077 && cat > "$1.new")
    chmod "$2" "$1.new"
    if cmp -s "$1" "$1.new"; then rm -f "$1.new"; else mv "$1.new" "$1"; fi
}

# openstackclient and openstacksdk: there is no catalogue, so each service is named. See docs/local_backends.md.
write_clouds() {
    local base="http://127.0.0.1:$PORT"
    write_file "$RUN/clouds.yaml" 644 << YAML
clouds:
  minicompute:
    auth_type: none
    auth: {}
    compute_endpoint_override: $base/v2.1
    image_endpoint_override: $base/image
    network_endpoint_override: $base/network
    block_storage_endpoint_override: $base/volume/v3
    volume_endpoint_override: $base/volume/v3
    identity_endpoint_override: $base/identity
YAML
}

write_openrc() {
    local base="http://127.0.0.1:$PORT"
    write_file "$RUN/openrc" 644 << RC
# . run/openrc       minicompute, openstack and nova then talk to this service, as its operator.
export OS_ENDPOINT_OVERRIDE=$base/v2.1
export OS_AUTH_TYPE=none
# openstackclient, openstacksdk
export OS_CLIENT_CONFIG_FILE='$RUN/clouds.yaml'
export OS_CLOUD=minicompute
# novaclient wants a user, a project and a Keystone, and uses none of them. By OS_* names openstackclient would trip.
export NOVA_USERNAME=admin NOVA_PROJECT_ID=admin NOVA_URL=$base/identity
case ":\$PATH:" in *:'$VENV/bin':*) ;; *) export PATH='$VENV/bin':"\$PATH" ;; esac
RC
}
