# shellcheck shell=sh
# What every script of the guest shares. Metadata is hostile: it stays in files and quoted variables, and
# whatever is printed passes `plain` first.

STATE=/run/guest

# say TEXT...: one line on every console of the kernel command line.
say() {
    for console in $(cat /sys/class/tty/console/active 2>/dev/null || echo console); do
        # A console without a device behind it fails to open or to write; the other ones still matter.
        { printf 'minicompute-guest: %s\n' "$*" > "/dev/$console"; } 2>/dev/null || true
    done
}

# plain: standard input without anything but harmless characters, at most 255 of them.
plain() {
    tr -cd 'A-Za-z0-9._:/@+-' | head -c 255
}

# set_state NAME VALUE, get_state NAME DEFAULT: facts that guest-test prints.
set_state() {
    printf '%s\n' "$2" > "$STATE/$1.new" && mv "$STATE/$1.new" "$STATE/$1"
}

get_state() {
    cat "$STATE/$1" 2>/dev/null || printf '%s\n' "$2"
}

# json_get FILE POINTER: a value of a document flattened by json.awk; empty if there is none.
json_get() {
    [ -f "$1" ] || return 0
    json_text="$(POINTER="$2" awk -F '\t' '$1 == ENVIRON["POINTER"] { print $2; exit }' "$1")"
    # json.awk leaves no escape but \\ \n \r \t, so %b reads nothing else.
    printf '%b' "$json_text"
}

# nics: names of the network cards.
nics() {
    for nic in /sys/class/net/*; do
        [ -e "$nic/device" ] && basename "$nic"
    done
    return 0
}

# shellcheck disable=SC2120,SC2119  # network.sh passes a card
# addresses_of [NIC]: global addresses with prefix, one a line.
addresses_of() {
    ip -o addr show ${1:+dev "$1"} scope global 2>/dev/null |
        awk '{ for (i = 1; i < NF; i++) if ($i == "inet" || $i == "inet6") print $(i + 1) }'
}

# address_list: all global addresses, separated by commas, or `none`.
address_list() {
    # shellcheck disable=SC2119
    list="$(addresses_of | sort | tr '\n' ',')"
    list="${list%,}"
    printf '%s\n' "${list:-none}"
}
