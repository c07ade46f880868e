# shellcheck shell=bash
# What a newcomer finds: flavors, a key pair, an image, a network and a server, all made through the API.

KEY="$RUN/demo_key"
SERVER=demo
UP_LINE='minicompute-guest: up'

# cli WORD...: our own command, as after `. run/openrc` but without openstacksdk's half second.
cli() {
    env -u OS_CLOUD OS_AUTH_TYPE=none OS_ENDPOINT_OVERRIDE="http://127.0.0.1:$PORT/v2.1" \
        OS_IMAGE_ENDPOINT_OVERRIDE="http://127.0.0.1:$PORT/image" \
        OS_NETWORK_ENDPOINT_OVERRIDE="http://127.0.0.1:$PORT/network" "$VENV/bin/minicompute" "$@"
}

names_of() { cli "$1" -f value -c Name 2>> "$LOGS/demo.log"; }
has_line() { grep -qxF -- "$1"; }

make_flavors() {
    local name id ram disk vcpus have
    have="$(names_of flavor-list)" || fail "the API does not answer at port $PORT: see $LOGS/api.log"
    while read -r name id ram disk vcpus; do
        has_line "$name" <<< "$have" ||
            must "flavor $name" demo cli flavor-create "$name" "$id" "$ram" "$disk" "$vcpus"
    done << FLAVORS
m1.nano 42 128 1 1
m1.tiny 1 512 1 1
m1.small 2 2048 20 1
m1.medium 3 4096 40 2
m1.large 4 8192 80 4
m1.xlarge 5 16384 160 8
FLAVORS
}

make_keypair() {
    [ -s "$KEY" ] || must 'ssh-keygen' demo ssh-keygen -q -t ed25519 -N '' -C minicompute-demo -f "$KEY"
    names_of keypair-list | has_line demo || must 'key pair' demo cli keypair-add demo --pub-key "$KEY.pub"
}

make_image() {
    names_of image-list | has_line minicompute-guest && return 0
    note 'uploading the guest image'
    must 'image upload' demo cli image-create minicompute-guest --disk-format qcow2 --visibility public \
        --file "$RUN/images/minicompute-guest.qcow2"
}

make_network() {
    names_of network-list | has_line demo || must 'network' demo cli network-create demo --cidr "${MINICOMPUTE_DEMO_CIDR:-10.77.0.0/24}"
}

# look_at_server: what the API and libvirt say of the server demo, in SERVER_ID, SERVER_STATUS, SERVER_ADDRESS and
# SERVER_LIVES. An ACTIVE server has no guest after a `down` that found no daemon, or a reboot of this machine,
# until the compute has looked.
look_at_server() {
    local facts
    facts="$(cli list --name "^$SERVER\$" -f value -c ID -c Status -c Networks 2>> "$LOGS/demo.log" | head -n 1)"
    read -r SERVER_ID SERVER_STATUS _ <<< "$facts" || true
    SERVER_ADDRESS="$(grep -oE '([0-9]+\.){3}[0-9]+' <<< "$facts" | head -n 1)" || true
    SERVER_LIVES=''
    if [ -n "$SERVER_ID" ] && virsh_ list --uuid | has_line "$SERVER_ID"; then SERVER_LIVES=1; fi
}

server_runs() {
    look_at_server
    [ "$SERVER_STATUS" = ACTIVE ] && [ -n "$SERVER_LIVES" ]
}

# make_server: the server demo is ACTIVE, one way or the other.
make_server() {
    server_runs && return 0
    if [ "$SERVER_STATUS" = SHUTOFF ]; then
        say 'Starting the server demo, which is shut off'
        if logged demo cli start "$SERVER" && wait_until 60 server_runs; then return 0; fi
    fi
    [ -z "$SERVER_ID" ] || remove_server
    say "Booting the server $SERVER"
    cli boot "$SERVER" --flavor m1.nano --image minicompute-guest --key-name demo \
        --nic net-name=demo --poll >> "$LOGS/demo.log" ||
        fail "the server did not become ACTIVE: minicompute show $SERVER tells why; see $LOGS/compute.log and $LOGS/conductor.log"
    look_at_server
}

remove_server() {
    note "server $SERVER has no guest that runs: it is made anew"
    must "minicompute delete $SERVER" demo cli delete "$SERVER" --poll
}

# show_console: what the guest says, up to its line that it is up.
show_console() {
    local shown=0 text total deadline=$((SECONDS + ${MINICOMPUTE_GUEST_SECONDS:-240}))
    say "The console of $SERVER"
    while :; do
        text="$(cli console-log "$SERVER" 2>> "$LOGS/demo.log" | tr -d '\r')" || true
        total="$(printf '%s\n' "$text" | wc -l)"
        # The last line may not be complete yet, unless it is the one that we wait for.
        if grep -qF "$UP_LINE" <<< "$text"; then
            printf '%s\n' "$text" | tail -n +$((shown + 1)) | sed "/$UP_LINE/q; s/^/    | /" | sed "s/^$UP_LINE/    | &/"
            return 0
        fi
        if [ "$total" -gt $((shown + 1)) ]; then
            printf '%s\n' "$text" | sed -n "$((shown + 1)),$((total - 1))p" | sed 's/^/    | /'
            shown=$((total - 1))
        fi
        [ "$SECONDS" -lt "$deadline" ] ||
            fail "the guest has not said '$UP_LINE' in time: minicompute console-log $SERVER shows its console; see $LOGS/compute.log"
        sleep 1
    done
}

# try_ssh ADDRESS: whether the guest lets us in with the key of the key pair.
try_ssh() {
    ssh -i "$KEY" -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o LogLevel=ERROR "root@$1" "${2:-true}" 2>> "$LOGS/demo.log" < /dev/null
}
