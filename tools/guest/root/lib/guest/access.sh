# shellcheck shell=sh
# Who may come in: public keys and, if the metadata has one, a password for root.

set_hostname() {
    name="$(json_get "$STATE/meta_data" /hostname | tr -cd 'A-Za-z0-9.-' | head -c 64)"
    [ -n "$name" ] || return 0
    hostname "$name"
    printf '%s\n' "$name" > /etc/hostname
    printf '127.0.1.1 %s\n' "$name" >> /etc/hosts
}

# install_keys: everything below /public_keys that looks like a key, once.
install_keys() {
    mkdir -p /root/.ssh
    chmod 700 /root /root/.ssh
    [ -f "$STATE/meta_data" ] || { set_state keys 0; return; }
    awk -F '\t' 'index($1, "/public_keys/") == 1 { print $2 }' "$STATE/meta_data" |
        sed 's/\\n/\n/g' | tr -d "\\\\" | grep -E '^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( |$)' |
        sort -u > /root/.ssh/authorized_keys
    chmod 600 /root/.ssh/authorized_keys
    set_state keys "$(wc -l < /root/.ssh/authorized_keys)"
}

# set_password: root stays locked without admin_pass. The hash in etc/shadow is one that no password has; with
# a mere `*` this login complains about its salt.
set_password() {
    set_state password no
    pass="$(json_get "$STATE/meta_data" /admin_pass)"
    [ -n "$pass" ] || return 0
    write_password "$pass" || return 0
}

# write_password PASSWORD
write_password() {
    # Over a pipe, so that it is in no process's arguments.
    hash="$(printf '%s\n' "$1" | mkpasswd -m sha512 -P 0)" || return 1
    [ "${#hash}" -gt 80 ] || return 1
    (umask 077 && printf 'root:%s:19000:0:99999:7:::\n' "$hash" > /etc/shadow)
    set_state password yes
}

start_ssh() {
    [ -f /etc/dropbear/host_key ] || dropbearkey -t ed25519 -f /etc/dropbear/host_key >/dev/null 2>&1
    if [ "$(get_state password no)" = yes ]; then
        dropbear -r /etc/dropbear/host_key -p 22
    else
        dropbear -r /etc/dropbear/host_key -p 22 -s
    fi 2>/dev/null
}
