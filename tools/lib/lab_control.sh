# shellcheck shell=bash
# shellcheck disable=SC2034  # some are read by daemons.sh and databases.sh
# The lab's control plane, on this machine itself: RabbitMQ on the bridge, all else on loopback.

CONTROL='conductor-1 conductor-2 scheduler-1 scheduler-2 api'
TEST_DIR="$RUN/database"
# Durable: the lab kills it.
MARIADB_SPEED=(--innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=256M)

write_settings() {
    local name
    mkdir -p "$STATE/images"
    daemon_settings | write_file "$CONFIG" 600
    compute_settings | write_file "$RUN/compute.conf" 600
    for name in conductor-1 conductor-2 scheduler-1 scheduler-2; do
        printf '[DEFAULT]\nhost = control-%s\n' "${name#*-}" | write_file "$RUN/$name.conf" 600
    done
    [ -e "$RUN/local.conf" ] || printf '# Settings of your own, for all daemons. See etc/minicompute/minicompute.conf.\n' > "$RUN/local.conf"
    printf '%s\n' "$PORT" > "$RUN/port"
    write_clouds
    write_openrc
}

# common_settings: a host that is cut off is found out sooner than by default.
common_settings() {
    cat << CONF
# Written by tools/lab.sh; your own settings go to $RUN/local.conf, which is read after this file.
[DEFAULT]
transport_url = $(broker_url)
report_interval = 3
service_down_time = 15
CONF
}

daemon_settings() {
    common_settings
    cat << CONF
host = control
state_path = $STATE
my_ip = $PREFIX.1
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = $PORT

[api]
auth_strategy = noauth2

[database]
connection = mysql+pymysql://root@127.0.0.1:$MARIADB_PORT/minicompute_test

[quota]
instances = -1
cores = -1
ram = -1
CONF
}

# compute_settings: no database, and its own files under a path that is the same on each host.
compute_settings() {
    common_settings
    cat << CONF
state_path = $RUN/node/state
compute_driver = libvirt.LibvirtDriver

[libvirt]
virt_type = qemu
remote_uri = qemu+tls://%s/system?pkipath=$RUN/node/pki/libvirt

[local_images]
path = $STATE/images

[local_volumes]
path = $STATE/volumes
CONF
}

start_control() {
    start_broker
    mkdir -p "$TEST_DIR"
    start_mariadb
    ln -sfn "$TEST_DIR/mariadb.pid" "$PIDS/mariadb.pid"
    DAEMONS="$CONTROL"
    all_daemons_run || sync_database
    start_daemons
}

stop_control() {
    DAEMONS="$CONTROL"
    stop_daemons
    end_process "$TEST_DIR/mariadb.pid" 20
    rm -f "$PIDS/mariadb.pid"
    stop_broker
}

# kill_control WHAT: kill -9 of a daemon with its workers, of rabbitmq or of mariadb.
kill_control() {
    local pid children
    case " $CONTROL rabbitmq mariadb " in
        *" $1 "*) ;;
        *) fail "unknown word '$1': kill control $(tr ' ' '|' <<< "$CONTROL")|rabbitmq|mariadb" ;;
    esac
    alive "$PIDS/$1.pid" || fail "there is no $1 that runs"
    pid="$(cat "$PIDS/$1.pid")"
    children="$(pgrep -P "$pid")" || true
    # shellcheck disable=SC2086  # a list of words
    kill -KILL "$pid" $children
    wait_until 10 not alive "$PIDS/$1.pid" || fail "$1 does not end"
}

# make_things: what a first server needs.
make_things() {
    make_flavors
    make_keypair
    make_image
    make_network
}
