# shellcheck shell=bash
# The lab's network: a bridge on this machine, and a cable from it to each host.

BRIDGE="$LAB_NAME-br"

address_of() { printf '%s.%s' "$PREFIX" $((10 + ${1#host})); }
cable_of() { printf '%s-h%s' "$LAB_NAME" "${1#host}"; }

link_exists() { ip link show dev "$1" > /dev/null 2>&1; }

make_bridge() {
    local taken
    if ! link_exists "$BRIDGE"; then
        taken="$(ip -4 -o route show | grep -F " $PREFIX." || ip -4 -o route show | grep "^$PREFIX\\.")" || true
        [ -z "$taken" ] || fail "this machine has a route into $LAB_SUBNET already: say LAB_SUBNET=10.98.0.0/24 $0 up"
        must "the bridge $BRIDGE" network ip link add "$BRIDGE" type bridge forward_delay 0
    fi
    # Without IPv6: what listens on this machine's link-local addresses is not for the lab.
    [ ! -d /proc/sys/net/ipv6 ] || echo 1 > "/proc/sys/net/ipv6/conf/$BRIDGE/disable_ipv6"
    ip address replace "$PREFIX.1/24" dev "$BRIDGE"
    close_bridge
    [ -z "$NEIGHBOURS" ] || translate
    ip link set "$BRIDGE" up
}

# bridge_rules: what the hosts, and through them the guests, are kept from: all of this machine but their own broker.
# Another lab's listens on the same port of another address.
bridge_rules() {
    if [ -n "$NEIGHBOURS" ]; then
        # What lab_neighbours.sh translates, and nothing else.
        printf '%s\n' "INPUT -i $BRIDGE -m conntrack ! --ctstate ESTABLISHED,RELATED,DNAT -j DROP" \
            "FORWARD -i $BRIDGE ! -o $BRIDGE -j DROP"
        return 0
    fi
    cat << RULES
INPUT -i $BRIDGE -m conntrack --ctstate NEW ! -d $BROKER_ADDRESS -j DROP
INPUT -i $BRIDGE -m conntrack --ctstate NEW -p tcp ! --dport $BROKER_PORT -j DROP
INPUT -i $BRIDGE -m conntrack --ctstate NEW -p udp -j DROP
FORWARD -i $BRIDGE ! -o $BRIDGE -j DROP
RULES
}

close_bridge() {
    local rule
    while read -r rule; do
        # shellcheck disable=SC2086  # words of a rule
        iptables -w -C $rule 2> /dev/null || must 'iptables' network iptables -w -I $rule
    done < <(bridge_rules)
}

remove_network() {
    local rule name
    while read -r rule; do
        # shellcheck disable=SC2086
        while iptables -w -D $rule 2> /dev/null; do :; done
    done < <(bridge_rules)
    for name in $(ip -o link show | sed -nE "s/^[0-9]+: ($LAB_NAME-(br|h[0-9]+))[@:].*/\\1/p"); do
        ip link delete "$name" 2> /dev/null || true
    done
}

# connect_host HOST: its cable, address and name; in the bridge, unless the host is to be cut off.
connect_host() {
    local host="$1" cable
    cable="$(cable_of "$host")"
    if ! link_exists "$cable"; then
        must "the cable of $host" network ip link add "$cable" type veth peer name eth0 netns "$(host_init "$host")"
    fi
    in_host "$host" ip address replace "$(address_of "$host")/24" dev eth0
    in_host "$host" ip link set eth0 up
    ip link set "$cable" up
    if is_cut "$host"; then unplug "$host"; else plug "$host"; fi
}

plug() { ip link set "$(cable_of "$1")" master "$BRIDGE"; }
# The cable keeps its carrier, as it does when a switch further away fails: nobody is told.
unplug() { ip link set "$(cable_of "$1")" nomaster; }

is_cut() { [ -e "$RUN/hosts/$1/cut" ]; }

partition() {
    : > "$RUN/hosts/$1/cut"
    if link_exists "$(cable_of "$1")"; then unplug "$1"; fi
    if link_exists "$(data_cable_of "$1")"; then ip link set "$(data_cable_of "$1")" down; fi
    note "$1 is cut off; tools/lab.sh heal $1 joins it again"
}

heal() {
    rm -f "$RUN/hosts/$1/cut"
    if link_exists "$(cable_of "$1")"; then plug "$1"; fi
    if link_exists "$(data_cable_of "$1")"; then ip link set "$(data_cable_of "$1")" up; fi
    note "$1 is joined again"
}
