#!/usr/bin/env bash
# Several real hosts on one machine, to move guests between them and to hurt them. As root:
#
#   tools/lab.sh up [--hosts N] [--shared-instances] [--neighbours]   N hosts (3); the second option puts the disks of
#                                   servers on a directory that all hosts share, the third adds the hosts to the real
#                                   OpenStack of tools/openstack_lab.sh. May be run again: what is missing is started
#   tools/lab.sh down [--wipe]      ends all of it; --wipe also forgets its state
#   tools/lab.sh status             says what runs; exits with 0 when all of it does
#   tools/lab.sh exec HOST COMMAND...        on that host: tools/lab.sh exec host1 virsh list
#   tools/lab.sh partition HOST     cuts its cable; heal HOST joins it again
#   tools/lab.sh kill HOST [daemon|libvirtd|virtlogd|all]   kill -9 of its compute daemon, of a libvirt daemon, or of
#                                   all that runs there at once, guests too: the power is cut
#   tools/lab.sh start HOST         starts what does not run there
#
# HOST is host1, host2, ... For kill and start it may be `control`, with api, conductor-1, conductor-2, scheduler-1,
# scheduler-2, rabbitmq or mariadb (with neighbours tools/openstack_lab.sh stops and starts those). With neighbours a
# host has an `agent` to kill, too. State is under run/lab. For a second lab: LAB_NAME (lab), LAB_SUBNET
# (10.99.0.0/24), LAB_PORT (by the subnet; the first of three ports on loopback), LAB_HOME (run/LAB_NAME).
# See docs/lab.md.
set -eu

# shellcheck source-path=SCRIPTDIR
here="$(cd "$(dirname "$0")" && pwd)"
complain() { printf 'lab.sh: %s\n' "$*" >&2 && exit 1; }
LAB_NAME="${LAB_NAME:-lab}"
[[ "$LAB_NAME" =~ ^[a-z][a-z0-9]{0,8}$ ]] || complain "LAB_NAME is a small letter and at most eight letters or digits"
MINICOMPUTE_RUN="${LAB_HOME:-$here/../run/$LAB_NAME}"
[[ "$MINICOMPUTE_RUN" != *[[:space:]]* ]] || complain 'LAB_HOME has no blanks'
MINICOMPUTE_RUN="$(readlink -m "$MINICOMPUTE_RUN")"
# What the lab was started with, so that only `up` need be told.
setting() { sed -n "s/^$1=//p" "$MINICOMPUTE_RUN/settings" 2> /dev/null || true; }
LAB_SUBNET="${LAB_SUBNET:-$(setting LAB_SUBNET)}"
LAB_SUBNET="${LAB_SUBNET:-10.99.0.0/24}"
[[ "$LAB_SUBNET" =~ ^[0-9]+\.[0-9]+\.([0-9]+)\.0/24$ ]] || complain "LAB_SUBNET is like 10.98.0.0/24"
LAB_PORT="${LAB_PORT:-$(setting LAB_PORT)}"
LAB_PORT="${LAB_PORT:-$((20000 + BASH_REMATCH[1] * 10))}"
PREFIX="${LAB_SUBNET%.0/24}"
MINICOMPUTE_PORT="$LAB_PORT"
TEST_MARIADB_PORT=$((LAB_PORT + 1))
BROKER_ADDRESS="$PREFIX.1"
BROKER_PORT=5672
BROKER_DIST_PORT=$((LAB_PORT + 2))
BROKER_NODE="minicompute-$LAB_NAME-$LAB_PORT"
BROKER_LOGIN=minicompute
MINICOMPUTE_DEMO_CIDR="${MINICOMPUTE_DEMO_CIDR:-10.77.0.0/24}"
MOST_HOSTS=50
. "$here/lib/common.sh"
. "$here/lib/packages.sh"
. "$here/lib/libvirt.sh"
. "$here/lib/config.sh"
. "$here/lib/daemons.sh"
. "$here/lib/databases.sh"
. "$here/lib/demo.sh"
. "$here/lib/broker.sh"
. "$here/lib/lab_pki.sh"
. "$here/lib/lab_net.sh"
. "$here/lib/lab_hosts.sh"
. "$here/lib/lab_control.sh"
. "$here/lib/lab_neighbours.sh"

HOSTS="$(setting HOSTS)"
SHARED="$(setting SHARED)"
NEIGHBOURS="$(setting NEIGHBOURS)"

main() {
    local verb="${1:-}"
    [ $# = 0 ] || shift
    case "$verb" in
        up | down) require_root && "$verb" "$@" ;;
        status) [ $# = 0 ] || fail 'status takes no words' && status ;;
        partition | heal) require_root && known_host "${1:-}" && "$verb" "$1" ;;
        kill | start | exec) require_root && "word_$verb" "$@" ;;
        -h | --help) sed -n '2,21s/^# \{0,1\}//p' "$0" ;;
        *) fail "unknown word '$verb': say up, down, status, exec, partition, heal, kill or start; --help tells more" ;;
    esac
}

# take_lock [SECONDS]: one at a time.
take_lock() {
    exec 9> "$RUN/lock"
    flock -w "${1:-0}" 9 || fail "another tools/lab.sh works on $RUN: wait for it"
}

known_host() {
    [[ "${1:-}" =~ ^host[0-9]+$ ]] && [ -d "$RUN/hosts/$1" ] ||
        fail "there is no host '${1:-}': the lab has host1 to host${HOSTS:-0}"
}

# -- up ----------------------------------------------------------------------------

up() {
    local host
    parse_up "$@"
    make_directories
    take_lock
    check_settings
    prepare_machine
    save_settings
    # Before the hosts, which get their mounts: Cinder's share is one.
    [ -z "$NEIGHBOURS" ] || start_neighbours
    say "Network $LAB_SUBNET on $BRIDGE"
    make_bridge
    make_authorities
    if [ -n "$NEIGHBOURS" ]; then neighbour_settings; else write_settings; fi
    say "Starting $HOSTS hosts"
    for host in $(all_hosts); do make_host_files "$host"; done
    for host in $(all_hosts); do start_host "$host"; done
    [ -n "$NEIGHBOURS" ] || start_control
    for host in $(all_hosts); do start_compute_of "$host"; done
    for host in $(all_hosts); do await_compute_of "$host"; done
    if [ -n "$NEIGHBOURS" ]; then
        for host in $(all_hosts); do await_agent_of "$host"; done
    else
        say 'Flavors, key pair, image and network'
        make_things
    fi
    say_what_next
}

parse_up() {
    WANT_HOSTS='' WANT_SHARED='' WANT_NEIGHBOURS=''
    while [ $# -gt 0 ]; do
        case "$1" in
            --hosts)
                [[ "${2:-}" =~ ^[1-9][0-9]?$ ]] && [ "$2" -le "$MOST_HOSTS" ] || fail "--hosts wants a number up to $MOST_HOSTS"
                WANT_HOSTS="$2" && shift
                ;;
            --shared-instances) WANT_SHARED=1 ;;
            --neighbours) WANT_NEIGHBOURS=1 ;;
            *) fail "unknown option '$1': up takes --hosts N, --shared-instances and --neighbours" ;;
        esac
        shift
    done
}

# check_settings: a lab may grow; what else differs wants a new one.
check_settings() {
    if [ -n "$HOSTS" ]; then
        [ -z "$WANT_SHARED" ] || [ -n "$SHARED" ] || fail 'this lab has instances of their own on each host: tools/lab.sh down --wipe first'
        [ -z "$WANT_NEIGHBOURS" ] || [ -n "$NEIGHBOURS" ] || fail 'this lab has a control plane of its own: tools/lab.sh down --wipe first'
        [ -z "$WANT_HOSTS" ] || [ "$WANT_HOSTS" -ge "$HOSTS" ] || fail "this lab has $HOSTS hosts: tools/lab.sh down --wipe first"
        [ "$(setting LAB_SUBNET) $(setting LAB_PORT)" = "$LAB_SUBNET $LAB_PORT" ] ||
            fail "this lab has the subnet $(setting LAB_SUBNET) and the port $(setting LAB_PORT): tools/lab.sh down --wipe first"
    else
        SHARED="$WANT_SHARED" NEIGHBOURS="$WANT_NEIGHBOURS"
    fi
    HOSTS="${WANT_HOSTS:-${HOSTS:-3}}"
}

save_settings() {
    printf '%s\n' "HOSTS=$HOSTS" "SHARED=$SHARED" "NEIGHBOURS=$NEIGHBOURS" "LAB_SUBNET=$LAB_SUBNET" "LAB_PORT=$LAB_PORT" | write_file "$RUN/settings" 644
}

prepare_machine() {
    install_debian "$REPO/tools/debian.list" "$REPO/tools/debian-lab.list"
    # An environment that the caller names is the caller's.
    [ -n "${MINICOMPUTE_VENV:-}" ] || install_python run -e "$REPO" python-openstackclient python-novaclient
    [ -x "$VENV/bin/minicompute-compute" ] || fail "no minicompute in $VENV: pip install -e $REPO there"
    must 'tools/build_guest.sh' guest "$REPO/tools/build_guest.sh" "$REPO/run/images"
    mkdir -p "$RUN/images"
    ln -sfn "$REPO/run/images/minicompute-guest.qcow2" "$RUN/images/minicompute-guest.qcow2"
    open_paths libvirt-qemu
}

say_what_next() {
    local rel="${RUN#"$PWD"/}"
    if [ -n "$NEIGHBOURS" ]; then
        cat << NEXT

The OpenStack at ${OPENSTACK#"$PWD"/} has $HOSTS hosts more. Now type:

    . ${OPENSTACK#"$PWD"/}/openrc
    openstack server create one --flavor m1.nano --image minicompute-guest --network demo --host host1 --wait \\
        --os-compute-api-version 2.95
    openstack server migrate one --live-migration --host host2 --wait --os-compute-api-version 2.95
    tools/lab.sh exec host2 virsh list    tools/lab.sh kill host2 all     tools/lab.sh start host2
    tools/lab.sh status                   tools/lab.sh down
NEXT
        return 0
    fi
    cat << NEXT

The lab is up: $HOSTS hosts. Now type:

    . $rel/openrc                        the clients then talk to it
    minicompute service-list
    minicompute boot one --flavor m1.nano --image minicompute-guest --key-name demo --nic net-name=demo --poll
    tools/lab.sh exec host1 virsh list    tools/lab.sh kill host1 all     tools/lab.sh start host1
    tools/lab.sh status                   tools/lab.sh down
NEXT
}

# -- down --------------------------------------------------------------------------

down() {
    local wipe=''
    case "$*" in '') ;; --wipe) wipe=1 ;; *) fail "unknown option '$*': down takes --wipe" ;; esac
    make_directories
    take_lock
    say 'Ending the lab'
    if [ -n "$NEIGHBOURS" ]; then
        [ -z "$wipe" ] || forget_hosts
        cut_power
        [ -z "$wipe" ] || forget_services
        stop_neighbours
    else
        stop_control
        cut_power
    fi
    remove_network
    close_paths
    if [ -n "$wipe" ]; then
        wipe_state
        say "The lab is down, and its state is forgotten"
    else
        say "The lab is down. Its state is in $RUN: tools/lab.sh up starts it again, down --wipe forgets it."
    fi
}

# wipe_state: what the lab made, and no other file.
wipe_state() {
    (cd "$RUN" && rm -rf hosts node shared pki database rabbitmq state images log pids settings port broker.password \
        neighbours.started ./*.conf openrc clouds.yaml demo_key demo_key.pub opened.paths epmd.started lock)
    rmdir "$RUN" 2> /dev/null || note "$RUN has files that are not the lab's"
}

# -- words about one host ------------------------------------------------------------

word_kill() {
    [ $# -ge 1 ] && [ $# -le 2 ] || fail 'kill HOST [daemon|libvirtd|virtlogd|all], or kill control NAME'
    if [ "$1" = control ]; then
        [ -z "$NEIGHBOURS" ] || fail "the control plane is that of the neighbours: tools/openstack_lab.sh stop ${2:-NAME}"
        kill_control "${2:-}"
    else
        known_host "$1"
        kill_in_host "$1" "${2:-daemon}"
    fi
}

word_start() {
    [ $# = 1 ] || fail 'start HOST, or start control'
    [ -n "$HOSTS" ] || fail 'there is no lab: tools/lab.sh up'
    [ "$1" = control ] || known_host "$1"
    link_exists "$BRIDGE" || fail 'the lab is down: tools/lab.sh up'
    take_lock 120
    if [ "$1" = control ]; then
        [ -z "$NEIGHBOURS" ] || fail 'the control plane is that of the neighbours: tools/openstack_lab.sh up'
        start_control
    else
        start_host "$1"
        start_compute_of "$1"
        await_compute_of "$1"
        [ -z "$NEIGHBOURS" ] || await_agent_of "$1"
    fi
}

word_exec() {
    [ $# -ge 2 ] || fail 'exec HOST COMMAND...'
    known_host "$1"
    in_host "$@"
}

# -- status --------------------------------------------------------------------------

status() {
    local name trouble=0 control="mariadb rabbitmq $CONTROL"
    if [ -n "$NEIGHBOURS" ]; then
        control=''
        openstack_lab status || trouble=1
    fi
    for name in $control; do
        if alive "$PIDS/$name.pid"; then
            printf '%-14s up\n' "$name"
        else
            printf '%-14s down\n' "$name" && trouble=1
        fi
    done
    [ -z "$HOSTS" ] || for name in $(all_hosts); do host_status "$name" || trouble=1; done
    [ "$trouble" = 0 ] || warn 'not all of it runs: tools/lab.sh up starts what is missing; logs are in '"$LOGS"
    return "$trouble"
}

# host_status HOST: a line.
host_status() {
    local host="$1" missing='' part
    if ! is_on "$host"; then
        printf '%-14s off\n' "$host" && return 1
    fi
    for part in virtlogd libvirtd; do [ -n "$(pids_in "$host" -x "$part")" ] || missing="$missing $part"; done
    compute_runs "$host" || missing="$missing minicompute-compute"
    if [ -n "$NEIGHBOURS" ]; then
        for part in ovsdb-server ovs-vswitchd; do [ -n "$(pids_in "$host" -x "$part")" ] || missing="$missing $part"; done
        agent_runs "$host" || missing="$missing neutron-openvswitch-agent"
    fi
    printf '%-14s %s, %s, %d guests%s%s\n' "$host" "$(if [ -n "$missing" ]; then echo degraded; else echo up; fi)" \
        "$(address_of "$host")" "$(pids_in "$host" -f '^/usr/bin/qemu-system' | wc -l)" "${missing:+, without$missing}" \
        "$(if is_cut "$host"; then echo ', cut off'; fi)"
    [ -z "$missing" ] && ! is_cut "$host"
}

main "$@"
