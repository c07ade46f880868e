#!/usr/bin/env bash
# minicompute on this machine: tools/quickstart.sh [up|down|status], by default up.
#
#   up      installs what is missing, starts the broker, libvirtd and the daemons, and boots a guest
#   down    deletes the servers, stops what up started, and leaves nothing behind but run/ and .venv/
#   status  says what runs; exits with 0 when all of it does
#
# All state is under run/. It may be run again at any time. Settings: docs/operating.md.
set -eu

# shellcheck source-path=SCRIPTDIR
here="$(cd "$(dirname "$0")" && pwd)"
. "$here/lib/common.sh"
. "$here/lib/packages.sh"
. "$here/lib/rabbitmq.sh"
. "$here/lib/libvirt.sh"
. "$here/lib/config.sh"
. "$here/lib/daemons.sh"
. "$here/lib/demo.sh"

main() {
    case "${1:-up}" in
        up) up ;;
        down) down ;;
        status) status ;;
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" ;;
        *) fail "unknown word '$1': say up, down or status" ;;
    esac
}

up() {
    require_root
    make_directories
    take_lock
    prepare_machine
    start_services
    if server_runs; then
        say "The server $SERVER is ACTIVE, its address is $SERVER_ADDRESS"
    else
        boot_guest
    fi
    say_what_next
}

# prepare_machine: packages, the virtual environment and the guest's image.
prepare_machine() {
    install_debian "$REPO/tools/debian.list"
    install_python run -e "$REPO" python-openstackclient python-novaclient
    install_novnc
    if ! guest_is_built; then say 'Building the guest image'; fi
    must 'tools/build_guest.sh' guest "$REPO/tools/build_guest.sh" "$RUN/images"
}

guest_is_built() { [ -s "$RUN/images/minicompute-guest.qcow2" ]; }

start_services() {
    start_rabbitmq
    prepare_broker
    start_libvirtd
    open_paths libvirt-qemu
    check_port
    write_configuration
    if all_daemons_run; then return 0; fi
    sync_database
    start_daemons
}

check_port() {
    alive "$PIDS/api.pid" || ! port_open "$PORT" ||
        fail "something else listens on port $PORT: stop it, or say MINICOMPUTE_PORT=18774 $0"
}

boot_guest() {
    say 'Flavors, key pair, image and network'
    make_flavors
    make_keypair
    make_image
    make_network
    make_server
    show_console
    say "The server $SERVER is ACTIVE, its address is $SERVER_ADDRESS"
    if wait_until 20 try_ssh "$SERVER_ADDRESS"; then
        note "and it lets us in: $(try_ssh "$SERVER_ADDRESS" 'uname -sr')"
    else
        warn "no SSH to root@$SERVER_ADDRESS yet: see $LOGS/demo.log"
    fi
}

say_what_next() {
    local rel="${RUN#"$PWD"/}"
    cat << NEXT

minicompute is up. Now type:

    . $rel/openrc                        the clients then talk to it
    minicompute list                      or: openstack server list, nova list
    minicompute boot two --flavor m1.nano --image minicompute-guest --key-name demo --nic net-name=demo --poll
    minicompute console-log demo          --follow goes on with it
    minicompute get-vnc-console demo      a URL for a browser on this machine, good once
    ssh -i $rel/demo_key root@$SERVER_ADDRESS
    tools/quickstart.sh status            tools/quickstart.sh down
NEXT
}

down() {
    require_root
    make_directories
    take_lock
    if [ -x "$VENV/bin/minicompute" ]; then
        revive
        delete_servers
        stop_daemons
    fi
    sweep_libvirt
    stop_libvirtd
    close_paths
    stop_rabbitmq
    say "minicompute is down. Its state is in $RUN: tools/quickstart.sh starts it again, rm -rf forgets it."
}

# revive: daemons that died while guests run are started once more, so that the records end as the guests do.
revive() {
    if all_daemons_run || [ ! -e "$CONFIG" ] || ! libvirt_answers || [ -z "$(our_domains)" ]; then return 0; fi
    (start_rabbitmq && prepare_broker && start_daemons) || warn 'the daemons do not start: their guests are removed from libvirt alone'
}

delete_servers() {
    local ids
    if ! alive "$PIDS/api.pid"; then
        note 'the api does not run: servers are removed from libvirt alone'
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

status() {
    local daemon trouble=0
    report RabbitMQ port_open 5672 || trouble=1
    report libvirtd libvirt_answers || trouble=1
    for daemon in api conductor scheduler compute api-metadata novncproxy; do
        report "minicompute-$daemon" alive "$PIDS/$daemon.pid" || trouble=1
    done
    if [ -x "$VENV/bin/minicompute" ] && api_answers; then
        cli service-list && cli list --all-tenants || trouble=1
    else
        trouble=1
    fi
    [ "$trouble" = 0 ] || warn 'not all of it runs: tools/quickstart.sh starts what is missing; logs are in '"$LOGS"
    return "$trouble"
}

# report NAME COMMAND...: a line with up or down.
report() {
    local name="$1"
    shift
    if "$@"; then printf '%-22s up\n' "$name"; else printf '%-22s down\n' "$name" && return 1; fi
}

# take_lock: one at a time.
take_lock() {
    exec 9> "$RUN/lock"
    flock -n 9 || fail "another tools/quickstart.sh works on $RUN: wait for it"
}

main "$@"
