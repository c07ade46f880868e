# shellcheck shell=sh
# Network cards: addresses from network_data.json where it names them, DHCP everywhere else.

# configure_nic NIC
configure_nic() {
    nic="$1"
    plan="$STATE/nic.$nic"
    : > "$plan"
    if [ -f "$STATE/network_data" ]; then
        mac="$(cat "/sys/class/net/$nic/address")"
        MAC="$mac" awk -f /lib/guest/network.awk "$STATE/network_data" > "$plan"
    fi
    ip link set "$nic" up
    while read -r word value gateway; do
        case "$word" in
            mtu) ip link set "$nic" mtu "$value" ;;
            address) ip addr add "$value" dev "$nic" ;;
            route) ip route replace "$value" via "$gateway" dev "$nic" metric "$(metric_of "$nic")" ;;
            dns) grep -qxF "nameserver $value" /etc/resolv.conf 2>/dev/null ||
                printf 'nameserver %s\n' "$value" >> /etc/resolv.conf ;;
        esac 2>/dev/null
    done < "$plan"
    if grep -q '^dhcp' "$plan" || ! grep -q '^address' "$plan"; then
        start_dhcp "$nic"
    else
        stop_dhcp "$nic"
    fi
}

# With several cards, the first one's default route wins.
metric_of() {
    echo $((100 + $(cat "/sys/class/net/$1/ifindex")))
}

start_dhcp() {
    pidfile="/run/udhcpc.$1.pid"
    [ -f "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null && return 0
    # A daemon after three tries, then one more round every ten seconds for ever.
    udhcpc -b -i "$1" -p "$pidfile" -s /lib/guest/dhcp.sh -t 3 -T 1 -A 10 -O staticroutes -O mtu \
        </dev/null >/dev/null 2>&1 &
}

stop_dhcp() {
    pidfile="/run/udhcpc.$1.pid"
    [ ! -f "$pidfile" ] || kill "$(cat "$pidfile")" 2>/dev/null
    rm -f "$pidfile"
}

# wait_for_addresses all|any SECONDS: until each card (or one of them) whose cable is in has one.
wait_for_addresses() {
    tries=$(($2 * 5))
    while [ "$tries" -gt 0 ]; do
        [ "$1" = any ] && [ "$(address_list)" != none ] && return 0
        missing=0
        for nic in $(nics); do
            [ "$(cat "/sys/class/net/$nic/carrier" 2>/dev/null)" = 0 ] && continue
            [ -n "$(addresses_of "$nic")" ] || missing=1
        done
        [ "$missing" = 0 ] && return 0
        tries=$((tries - 1))
        usleep 200000
    done
    return 1
}
