#!/bin/sh
# What udhcpc runs; the addresses in the environment were formatted by udhcpc itself.
# shellcheck disable=SC2154  # interface, ip, mask, ... come from udhcpc
. /lib/guest/lib.sh
. /lib/guest/network.sh

routes() {
    metric="$(metric_of "$interface")"
    # RFC 3442: with classless routes, the router option does not count.
    # shellcheck disable=SC2086  # a list of words
    set -- ${staticroutes:-}
    if [ $# -eq 0 ] && [ -n "${router:-}" ]; then
        set -- 0.0.0.0/0 "${router%% *}"
    fi
    while [ $# -ge 2 ]; do
        if [ "$2" = 0.0.0.0 ]; then
            ip route replace "$1" dev "$interface" metric "$metric"
        else
            ip route replace "$1" via "$2" dev "$interface" metric "$metric" onlink 2>/dev/null ||
                ip route replace "$1" via "$2" dev "$interface" metric "$metric"
        fi
        shift 2
    done
}

case "$1" in
    deconfig)
        ip -4 addr flush dev "$interface"
        ;;
    bound | renew)
        [ -n "${mtu:-}" ] && ip link set "$interface" mtu "$mtu"
        ip -4 addr replace "$ip/${mask:-24}" dev "$interface" 2>/dev/null || {
            ip -4 addr flush dev "$interface"
            ip addr add "$ip/${mask:-24}" dev "$interface"
        }
        routes
        for server in ${dns:-}; do
            grep -qxF "nameserver $server" /etc/resolv.conf 2>/dev/null ||
                printf 'nameserver %s\n' "$server" >> /etc/resolv.conf
        done
        [ "$1" = bound ] && [ -f "$STATE/ready" ] && say "address $interface $ip/${mask:-24}"
        ;;
esac
exit 0
