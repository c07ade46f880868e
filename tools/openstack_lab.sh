#!/usr/bin/env bash
# A real OpenStack on this machine, with minicompute in Nova's place. As root:
#
#   tools/openstack_lab.sh up       Keystone and its neighbours from PyPI, and minicompute with libvirt beside them
#   tools/openstack_lab.sh down     ends all of it; --wipe also forgets its state (the packages stay)
#   tools/openstack_lab.sh status   says what runs; exits with 0 when all of it does
#   tools/openstack_lab.sh stop NAME, start NAME     one service: glance, keystone, compute, ... (status names them)
#
# It may be run again at any time: what is missing is started. State is under run/openstack; all listens on loopback,
# at 100 ports from OPENSTACK_PORTS (25000) on. OPENSTACK_HOME is another place for the state: a folder that is empty or
# not there yet, for --wipe removes all that is in it. See docs/openstack_lab.md.
set -eu

# shellcheck source-path=SCRIPTDIR
here="$(cd "$(dirname "$0")" && pwd)"
MINICOMPUTE_RUN="$(readlink -m "${OPENSTACK_HOME:-$here/../run/openstack}")"
PORTS="${OPENSTACK_PORTS:-$(cat "$MINICOMPUTE_RUN/ports" 2> /dev/null || echo 25000)}"
MINICOMPUTE_PORT=$((PORTS + 74))
TEST_MARIADB_PORT=$((PORTS + 6))
BROKER_PORT=$((PORTS + 72))
BROKER_NODE="openstack-$PORTS"
BROKER_LOGIN=openstack
# says that a folder is a lab's
MARKER=.openstack-lab
. "$here/lib/common.sh"
. "$here/lib/packages.sh"
. "$here/lib/libvirt.sh"
. "$here/lib/config.sh"
. "$here/lib/daemons.sh"
. "$here/lib/databases.sh"
. "$here/lib/demo.sh"
. "$here/lib/broker.sh"
. "$here/lib/openstack.sh"
. "$here/lib/openstack_keystone.sh"
. "$here/lib/openstack_glance.sh"
for part in neutron cinder; do
    if [ -e "$here/lib/openstack_$part.sh" ]; then
        # shellcheck disable=SC1090  # they come with their neighbours
        . "$here/lib/openstack_$part.sh"
    fi
done
. "$here/lib/openstack_compute.sh"

main() {
    local verb="${1:-}"
    [ $# = 0 ] || shift
    case "$verb" in
        up) require_root && up ;;
        down) require_root && down "$@" ;;
        status) status ;;
        stop | start) require_root && one "$verb" "${1:?of which service?}" ;;
        -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0" ;;
        *) fail "unknown word '$verb': say up, down, status, stop NAME or start NAME" ;;
    esac
}

# parts: what of OpenStack there is, in the order in which it starts.
parts() {
    local part
    for part in keystone glance neutron cinder; do
        if declare -F "${part}_up" > /dev/null; then echo "$part"; fi
    done
}

up() {
    local began=$SECONDS
    is_ours || fail "$RUN has files in it, and is no lab of this script: say OPENSTACK_HOME= another folder"
    make_directories
    : > "$RUN/$MARKER"
    take_lock
    printf '%s\n' "$PORTS" > "$RUN/ports"
    prepare_machine
    start_infrastructure
    note "after $((SECONDS - began)) s"
    start_services
    note "after $((SECONDS - began)) s"
    say 'Flavors, image, networks and volume types'
    make_openstack_things
    say "All is up, after $((SECONDS - began)) s"
    say_what_next
}

down() {
    local part
    [ "${1:---}" = -- ] || [ "$1" = --wipe ] || fail "unknown option '$1': down takes --wipe"
    # It removes whatever is there: a slip in OPENSTACK_HOME must not cost a home directory.
    is_ours || fail "$RUN is no lab of this script: nothing is stopped or removed"
    make_directories
    take_lock
    compute_down
    for part in $(parts | tac); do
        say "Stopping $part"
        "${part}_down"
    done
    stop_infrastructure
    close_paths
    if [ "${1:-}" = --wipe ]; then
        find "$RUN" -mindepth 1 -maxdepth 1 ! -name venv ! -name images ! -name lock ! -name "$MARKER" -exec rm -rf {} +
        say "OpenStack is down, and forgotten but for $(os_venv)"
    else
        say "OpenStack is down. Its state is in $RUN: tools/openstack_lab.sh up starts it again, down --wipe forgets it."
    fi
}

status() {
    local part trouble=0
    report MariaDB alive "$TEST_DIR/mariadb.pid" || trouble=1
    report RabbitMQ broker_listens || trouble=1
    report memcached alive "$PIDS/memcached.pid" || trouble=1
    for part in $(parts); do "${part}_status" || trouble=1; done
    compute_status || trouble=1
    [ "$trouble" = 0 ] || warn "not all of it runs: tools/openstack_lab.sh up starts what is missing; logs are in $LOGS"
    return "$trouble"
}

# one VERB NAME: stop or start one service, as a test or an operator does who wants to see what becomes of it.
one() {
    case "$2" in
        mariadb | rabbitmq) fail "say down and up: everything needs $2" ;;
        api | conductor | scheduler | compute | api-metadata | novncproxy | serialproxy)
            if [ "$1" = stop ]; then end_process "$PIDS/$2.pid" 15; else DAEMONS="$2" start_daemons; fi ;;
        *)
            [ -s "$RUN/commands/$2" ] || fail "there is no service '$2': $(ls "$RUN/commands" 2> /dev/null | tr '\n' ' ')"
            if [ "$1" = stop ]; then os_stop "$2"; else os_again "$2"; fi ;;
    esac
}

# is_ours: whether `up` has made the state's folder; or nobody has, or left anything in it. Labs of earlier days have no
# marker, but what only they have.
is_ours() {
    [ -e "$RUN/$MARKER" ] || { [ -s "$RUN/ports" ] && [ -d "$RUN/commands" ]; } || [ -z "$(ls -A "$RUN" 2> /dev/null)" ]
}

# take_lock: one at a time.
take_lock() {
    exec 9> "$RUN/lock"
    flock -n 9 || fail "another tools/openstack_lab.sh works on $RUN: wait for it"
}

main "$@"
