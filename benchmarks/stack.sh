#!/usr/bin/env bash
# The system that is measured: benchmarks/stack.sh up|down [OPTION...]
#
#   up      starts broker, database and daemons on loopback; makes flavors and an image; may be run again
#   down    ends all of it; --wipe also forgets the data
#   messages   how many messages the broker has taken since it started
#
#   --driver fake|libvirt      what the computes drive (fake); libvirt means one compute, and wants root
#   --computes N               compute daemons (4)
#   --hollow N                 hollow hosts besides (0)
#   --database mariadb|postgresql|sqlite   (mariadb) all of them commit durably
#
# Prints `endpoint: URL`, `image: ID` and `pids: DIR`, where each process has its NAME.pid; loadgen's arguments are
# in loadgen.env. BENCH_HOME is where all state goes (run/bench), BENCH_PORT the first of the five ports that are
# used (18774), MINICOMPUTE_VENV the virtual environment (.venv, made when it is missing).
set -eu

# shellcheck source-path=SCRIPTDIR/../tools
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
BENCH_PORT="${BENCH_PORT:-18774}"
MINICOMPUTE_RUN="${BENCH_HOME:-$here/../run/bench}"
mkdir -p "$MINICOMPUTE_RUN"
MINICOMPUTE_RUN="$(cd "$MINICOMPUTE_RUN" && pwd)"
MINICOMPUTE_PORT="$BENCH_PORT"
TEST_MARIADB_PORT=$((BENCH_PORT + 1))
TEST_POSTGRES_PORT=$((BENCH_PORT + 2))
. "$here/../tools/lib/common.sh"
. "$here/../tools/lib/packages.sh"
. "$here/../tools/lib/libvirt.sh"
. "$here/../tools/lib/config.sh"
. "$here/../tools/lib/daemons.sh"
. "$here/../tools/lib/databases.sh"
. "$here/../tools/lib/demo.sh"
BROKER_PORT=$((BENCH_PORT + 3))
. "$here/../tools/lib/broker.sh"

TEST_DIR="$RUN/database"
MARIADB_SPEED=(--innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=512M)
POSTGRES_SPEED=()
DRIVER=fake COMPUTES=4 HOLLOW=0 DATABASE=mariadb WIPE=''

main() {
    local verb="${1:-}"
    [ $# = 0 ] || shift
    parse "$@"
    make_directories
    take_lock
    case "$verb" in
        up) up ;;
        down) down ;;
        messages) broker_messages ;;
        *) fail "unknown word '$verb': say up or down; --help tells more" ;;
    esac
}

parse() {
    while [ $# -gt 0 ]; do
        case "$1" in
            --driver) DRIVER="$(one_of "$1" "${2:-}" fake libvirt)" && shift ;;
            --database) DATABASE="$(one_of "$1" "${2:-}" mariadb postgresql sqlite)" && shift ;;
            --computes) COMPUTES="$(number "$1" "${2:-}")" && shift ;;
            --hollow) HOLLOW="$(number "$1" "${2:-}")" && shift ;;
            --wipe) WIPE=1 ;;
            *) fail "unknown option '$1'; --help tells which there are" ;;
        esac
        shift
    done
    if [ "$DRIVER" = libvirt ]; then COMPUTES=1; fi
}

one_of() {
    local option="$1" value="$2" allowed
    shift 2
    for allowed in "$@"; do [ "$value" != "$allowed" ] || { printf '%s' "$value" && return 0; }; done
    fail "$option is one of: $*"
}

number() {
    case "$2" in '' | *[!0-9]*) fail "$1 wants a number" ;; *) printf '%s' "$2" ;; esac
}

take_lock() {
    exec 9> "$RUN/lock"
    flock -n 9 || fail "another benchmarks/stack.sh works on $RUN: wait for it"
}

# -- up ----------------------------------------------------------------------------

up() {
    prepare
    stop_what_differs
    start_broker
    start_database
    configure
    sync_database
    start_daemons
    start_hollow
    make_things
    tell
}

prepare() {
    if [ "$(id -u)" = 0 ]; then install_debian "$REPO/tools/debian.list" "$REPO/tools/debian-test.list"; fi
    # An environment that the caller names is the caller's.
    [ -n "${MINICOMPUTE_VENV:-}" ] || install_python bench -e "$REPO"
    [ -x "$VENV/bin/minicompute-api" ] || fail "no minicompute in $VENV: pip install -e $REPO there"
    if [ "$DRIVER" = libvirt ]; then
        require_root
        must 'tools/build_guest.sh' guest "$REPO/tools/build_guest.sh" "$RUN/images"
        start_libvirtd
        open_paths libvirt-qemu
    fi
}

# stop_what_differs: a stack that was started with other options makes room for this one.
stop_what_differs() {
    local settings="$DRIVER $COMPUTES $HOLLOW $DATABASE $BENCH_PORT"
    if [ "$(cat "$RUN/settings" 2> /dev/null)" != "$settings" ]; then stop_all; fi
    printf '%s\n' "$settings" > "$RUN/settings"
    DAEMONS="conductor scheduler $(computes) api"
}

computes() {
    local n
    for ((n = 1; n <= COMPUTES; n++)); do printf 'compute-%s ' "$n"; done
}

start_database() {
    case "$DATABASE" in
        mariadb) mkdir -p "$TEST_DIR" && start_mariadb && ln -sfn "$TEST_DIR/mariadb.pid" "$PIDS/mariadb.pid" ;;
        postgresql) mkdir -p "$TEST_DIR" && start_postgres && ln -sfn "$TEST_DIR/postgres.pid" "$PIDS/postgresql.pid" ;;
        sqlite) ;;
    esac
}

database_url() {
    case "$DATABASE" in
        mariadb) printf 'mysql+pymysql://root@127.0.0.1:%s/minicompute_test' "$MARIADB_PORT" ;;
        postgresql) printf 'postgresql+psycopg://postgres@127.0.0.1:%s/minicompute_test' "$POSTGRES_PORT" ;;
        sqlite) printf 'sqlite:///%s/minicompute.sqlite' "$RUN" ;;
    esac
}

# configure: what a user must say, and no more; a better value belongs among the defaults.
configure() {
    local n
    mkdir -p "$STATE"
    write_file "$CONFIG" 600 << CONF
# Written by benchmarks/stack.sh.
[DEFAULT]
host = bench
transport_url = $(broker_url)
state_path = $STATE
compute_driver = $(driver_class)
osapi_compute_listen_port = $PORT

[api]
auth_strategy = noauth2

# The computes, which are of one machine, have a state folder each: what all of them share is not below it.
[local_images]
path = $STATE/images

[local_volumes]
path = $STATE/volumes

[database]
connection = $(database_url)

[quota]
instances = -1
cores = -1
ram = -1
CONF
    [ -e "$RUN/local.conf" ] || printf '# Settings to try, which are read last but for the names of the computes.\n' > "$RUN/local.conf"
    for ((n = 1; n <= COMPUTES; n++)); do
        mkdir -p "$STATE/compute-$n"
        printf '[DEFAULT]\nhost = bench-c%s\nstate_path = %s\n' "$n" "$STATE/compute-$n" | write_file "$RUN/compute-$n.conf" 600
    done
}

driver_class() { if [ "$DRIVER" = libvirt ]; then echo libvirt.LibvirtDriver; else echo fake.FakeDriver; fi; }

start_hollow() {
    [ "$HOLLOW" -gt 0 ] || return 0
    if ! alive "$PIDS/hollow.pid"; then
        say "Starting $HOLLOW hollow hosts"
        env -i PATH="$PATH" HOME="${HOME:-/root}" LANG=C.UTF-8 \
            ${MINICOMPUTE_CONCURRENCY:+MINICOMPUTE_CONCURRENCY="$MINICOMPUTE_CONCURRENCY"} \
            start-stop-daemon --start --quiet --background --make-pidfile --pidfile "$PIDS/hollow.pid" --chdir "$RUN" \
            --output "$LOGS/hollow.log" --startas "$VENV/bin/minicompute-manage" -- \
            --config-file "$CONFIG" --config-file "$RUN/local.conf" hollow --hosts "$HOLLOW"
        wait_until 10 test -s "$PIDS/hollow.pid" || fail "the hollow hosts could not be started: see $LOGS/hollow.log"
    fi
    wait_until 600 hollow_up || true
    alive "$PIDS/hollow.pid" || fail "the hollow hosts ended: see $LOGS/hollow.log"
    hollow_up || fail "not all hollow hosts are up after 600 s: see $LOGS/hollow.log"
}

# hollow_up: whether all hosts are known, or nothing will make them so.
hollow_up() {
    local count
    alive "$PIDS/hollow.pid" || return 0
    count="$(curl -sf -m 20 -H 'X-OpenStack-Nova-API-Version: 2.53' "http://127.0.0.1:$PORT/v2.1/os-hypervisors/statistics" |
        sed -n 's/.*"count": *\([0-9]*\).*/\1/p')"
    [ "${count:-0}" -ge $((HOLLOW + COMPUTES)) ]
}

make_things() {
    local number
    names_of flavor-list | has_line bench.tiny ||
        must 'flavor' api-objects cli flavor-create bench.tiny 1 "$(if [ "$DRIVER" = libvirt ]; then echo 128; else echo 64; fi)" 1 1
    for number in 2 3 4 5; do
        names_of flavor-list | has_line "bench.f$number" ||
            must 'flavor' api-objects cli flavor-create "bench.f$number" "$number" $((number * 128)) 1 "$number"
    done
    names_of image-list | has_line bench-image || make_bench_image
    IMAGE="$(cli image-list -f value -c ID -c Name | sed -n 's/ bench-image$//p')"
    [ -n "$IMAGE" ] || fail "the image is not there: see $LOGS/api.log"
}

make_bench_image() {
    local file="$RUN/image" format=raw
    if [ "$DRIVER" = libvirt ]; then
        file="$RUN/images/minicompute-guest.qcow2" format=qcow2
    else
        head -c 1048576 /dev/zero > "$file"
    fi
    must 'image upload' api-objects cli image-create bench-image --disk-format "$format" --visibility public --file "$file"
}

tell() {
    local base="http://127.0.0.1:$PORT/v2.1"
    write_file "$RUN/loadgen.env" 644 << ENV
# arguments for loadgen.py
LG_ARGS="--base $base --image $IMAGE --flavor 1 --pids $PIDS --auth headers --user loadgen --project loadgen"
BENCH_DATABASE="$(database_url)"
ENV
    echo "endpoint: $base"
    echo "image: $IMAGE"
    echo "pids: $PIDS"
    echo "loadgen: $RUN/loadgen.env"
}

# -- down --------------------------------------------------------------------------

down() {
    stop_all
    stop_libvirtd
    close_paths
    rm -f "$RUN/settings"
    [ -z "$WIPE" ] || wipe
    say "The stack in $RUN is down"
}

# stop_all: by the pid files, whatever options they were started with.
stop_all() {
    local file
    DAEMONS=''
    for file in "$PIDS"/api.pid "$PIDS"/compute-*.pid "$PIDS"/scheduler.pid "$PIDS"/conductor.pid; do
        [ ! -e "$file" ] || DAEMONS="$DAEMONS $(basename "$file" .pid)"
    done
    stop_daemons
    end_process "$PIDS/hollow.pid" 60
    if [ -s "$OPENED" ] || [ -d "$RUN/images" ]; then sweep_libvirt; fi
    stop_databases
    rm -f "$PIDS/mariadb.pid" "$PIDS/postgresql.pid" "$RUN"/compute-*.conf
    stop_broker
}

wipe() {
    rm -rf "$TEST_DIR" "$STATE" "$BROKER_DIR" "$LOGS" "$PIDS" "$RUN"/minicompute.sqlite* "$RUN/loadgen.env"
}

case " $* " in *' -h '* | *' --help '*) sed -n '2,16s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
main "$@"
