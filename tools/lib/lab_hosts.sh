# shellcheck shell=bash
# The hosts of the lab: namespaces around one first process, libvirtd, compute daemon.

INIT="$REPO/tools/lib/lab_init.sh"

all_hosts() {
    local n
    for ((n = 1; n <= HOSTS; n++)); do echo "host$n"; done
}

# host_init HOST: the pid of its first process, nothing when the host is off. Not from a file: what runs is the truth.
host_init() { pgrep -o -f "$(init_pattern "$1")" || true; }

# all_inits: of all hosts of this lab, also those that no file knows of any more.
all_inits() { pgrep -f "$(init_pattern 'host[0-9]+')" || true; }

init_pattern() { printf '^bash %s %s( shared)?$' "$(sed 's/[][\.*^$+?(){}|/]/\\&/g' <<< "$INIT $RUN")" "$1"; }

is_on() { [ -n "$(host_init "$1")" ]; }

# in_host HOST COMMAND...: with its network, files, name and processes, in $RUN.
in_host() {
    local init
    init="$(host_init "$1")"
    [ -n "$init" ] || fail "$1 is off: tools/lab.sh start $1"
    shift
    nsenter --target "$init" --net --mount --uts --ipc --pid --wd -- "$@"
}

# pids_in HOST PATTERN...: as pgrep finds them, as this machine counts them.
pids_in() {
    local init
    init="$(host_init "$1")"
    shift
    [ -z "$init" ] || pgrep --ns "$init" --nslist pid "$@" || true
}

# -- files -------------------------------------------------------------------------

make_host_files() {
    local host="$1" own="$RUN/hosts/$1" uuid
    mkdir -p "$own"/{etc,libvirt/{etc/nwfilter,lib,cache,log},node/{pki,state/instances}} "$RUN/node" "$RUN/shared/instances"
    [ -s "$own/uuid" ] || cat /proc/sys/kernel/random/uuid > "$own/uuid"
    uuid="$(cat "$own/uuid")"
    make_pki "$host" "$(address_of "$host")" "$own/node/pki"
    # Filters come with libvirt's package; its own copies of them are read by nobody but root.
    [ -e "$own/libvirt/etc/nwfilter/clean-traffic.xml" ] || cp /usr/share/libvirt/nwfilter/*.xml "$own/libvirt/etc/nwfilter/"
    libvirtd_settings "$host" "$uuid" | write_file "$own/libvirt/etc/libvirtd.conf" 600
    qemu_settings "$host" | write_file "$own/libvirt/etc/qemu.conf" 600
    tr -d - <<< "$uuid" | write_file "$own/etc/machine-id" 444
    echo "$host" | write_file "$own/etc/hostname" 644
    # Without a name server: a look-up of what is not in hosts ends at once, not after ten seconds.
    : | write_file "$own/etc/resolv.conf" 644
    hosts_table | write_file "$own/etc/hosts" 644
    host_settings "$host" | write_file "$own/node/host.conf" 600
}

# hosts_table: with hosts that may come later, because a file that is mounted over another cannot be exchanged.
hosts_table() {
    local n
    printf '127.0.0.1 localhost\n%s.1 control\n' "$PREFIX"
    for ((n = 1; n <= MOST_HOSTS; n++)); do printf '%s host%s\n' "$(address_of "host$n")" "$n"; done
}

# A libvirtd that anybody may talk to would hand out the host: TLS, and a certificate of the lab.
libvirtd_settings() {
    cat << CONF
# Written by tools/lab.sh.
listen_tls = 1
listen_tcp = 0
listen_addr = "$(address_of "$1")"
auth_tls = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
key_file = "$RUN/node/pki/libvirt/key.pem"
cert_file = "$RUN/node/pki/libvirt/cert.pem"
ca_file = "$RUN/node/pki/libvirt/cacert.pem"
tls_no_verify_certificate = 0
host_uuid = "$2"
CONF
}

# A profile of AppArmor knows neither these paths nor that two hosts have the same.
qemu_settings() {
    cat << CONF
# Written by tools/lab.sh.
security_driver = "none"
vnc_listen = "127.0.0.1"
default_tls_x509_verify = 1
migrate_tls_x509_cert_dir = "$RUN/node/pki/qemu"
migrate_tls_x509_verify = 1
migrate_tls_force = 1
migration_address = "$(address_of "$1")"
migration_host = "$1"
CONF
}

host_settings() {
    cat << CONF
# Written by tools/lab.sh.
[DEFAULT]
host = $1
my_ip = $(address_of "$1")
[vnc]
server_listen = $(address_of "$1")
server_proxyclient_address = $(address_of "$1")
[serial_console]
proxyclient_address = $(address_of "$1")
CONF
}

# -- on and off --------------------------------------------------------------------

# start_host HOST: its power and its libvirtd, as far as they do not run.
start_host() {
    local host="$1"
    if ! is_on "$host"; then
        note "starting $host, $(address_of "$host")"
        start-stop-daemon --start --quiet --background --pidfile "$RUN/hosts/none.pid" --chdir "$RUN" \
            --output "$LOGS/$host.log" --startas "$(command -v unshare)" -- \
            --net --mount --uts --ipc --pid --fork --kill-child --propagation private -- \
            bash "$INIT" "$RUN" "$host" ${SHARED:+shared}
    fi
    wait_until 20 host_is_ready "$host" || fail "$host does not start: see $LOGS/$host.log"
    connect_host "$host"
    start_libvirt_of "$host"
    [ -z "$NEIGHBOURS" ] || start_neighbours_of "$host"
}

host_is_ready() { is_on "$1" && in_host "$1" test -e /run/lab.ready 2> /dev/null; }

start_libvirt_of() {
    local host="$1"
    open_kvm
    [ -n "$(pids_in "$host" -x virtlogd)" ] || must "virtlogd of $host" "$host" in_host "$host" virtlogd -d
    [ -n "$(pids_in "$host" -x libvirtd)" ] || must "libvirtd of $host" "$host" in_host "$host" libvirtd -d --listen
    wait_until 30 libvirt_of_answers "$host" ||
        fail "libvirtd of $host does not answer: see hosts/$host/libvirt/log and log/$host.log in $RUN"
}

libvirt_of_answers() { in_host "$1" virsh -q -c qemu:///system uri > /dev/null 2>&1 < /dev/null; }

COMPUTE='minicompute-compute --config-file'

compute_runs() { [ -n "$(pids_in "$1" -f "$COMPUTE")" ]; }

start_compute_of() {
    local host="$1" log="$LOGS/compute-$1.log" first=()
    [ -z "$NEIGHBOURS" ] || first=(--config-file "$RUN/neighbours.conf")
    ! compute_runs "$host" || return 0
    if [ -s "$log" ]; then mv "$log" "$log.1"; fi
    in_host "$host" env -i PATH="$PATH" HOME="${HOME:-/root}" LANG=C.UTF-8 \
        ${MINICOMPUTE_CONCURRENCY:+MINICOMPUTE_CONCURRENCY="$MINICOMPUTE_CONCURRENCY"} \
        start-stop-daemon --start --quiet --background --pidfile /run/none.pid --chdir "$RUN" --output "$log" \
        --startas "$VENV/bin/minicompute-compute" -- "${first[@]}" --config-file "$RUN/compute.conf" \
        --config-file "$RUN/node/host.conf" --config-file "$RUN/local.conf"
}

# await_compute_of HOST: until it has told the conductor of itself. One that is cut off cannot.
await_compute_of() {
    ! is_cut "$1" || return 0
    wait_until 60 compute_is_ready "$1" || {
        grep -hvE ' (DEBUG|INFO) ' "$LOGS/compute-$1.log" | tail -n 5 | cut -c1-300 | sed 's/^/    | /' >&2
        fail "the compute of $1 is not ready after 60 s: see $LOGS/compute-$1.log"
    }
}

compute_is_ready() { compute_runs "$1" && grep -qs ' is ready on ' "$LOGS/compute-$1.log"; }

# kill_in_host HOST WHAT: kill -9.
kill_in_host() {
    local host="$1" pids
    case "$2" in
        daemon | compute) pids="$(pids_in "$host" -f "$COMPUTE")" ;;
        agent) pids="$(pids_in "$host" -f "$AGENT")" ;;
        libvirtd | virtlogd) pids="$(pids_in "$host" -x "$2")" ;;
        all) pids="$(host_init "$host")" ;;
        *) fail "unknown word '$2': kill $host daemon, libvirtd, virtlogd or all" ;;
    esac
    [ -n "$pids" ] || fail "there is no $2 on $host that runs"
    # shellcheck disable=SC2086  # a list of words
    kill -KILL $pids
    if [ "$2" = all ]; then
        wait_until 10 not is_on "$host" || fail "$host does not go off"
    fi
}

# cut_power: of all hosts of this lab.
cut_power() {
    local pids
    pids="$(all_inits)"
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2> /dev/null || true
    wait_until 20 no_hosts || warn "these first processes of hosts do not end: $(all_inits | xargs)"
}

no_hosts() { [ -z "$(all_inits)" ]; }
