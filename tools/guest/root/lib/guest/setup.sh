#!/bin/sh
# Turns a machine into an instance: metadata, network, access, and the line on the console that says so.
. /lib/guest/lib.sh
. /lib/guest/network.sh
. /lib/guest/metadata.sh
. /lib/guest/access.sh
. /lib/guest/userdata.sh

umask 022
# Host keys take a moment; make them while DHCP is on its way.
dropbearkey -t ed25519 -f /etc/dropbear/host_key >/dev/null 2>&1 &
key_maker=$!

source=none
read_config_drive && source=config-drive
for nic in $(nics); do
    configure_nic "$nic"
done
[ "$source" = config-drive ] && set_hostname && install_keys && set_password

# Without an address after ten seconds, nobody will be asked and nothing more is waited for.
patience=10
if [ "$source" = none ]; then
    wait_for_addresses any 10 || patience=0
fi
if [ "$source" = none ] && [ "$(address_list)" != none ] && read_metadata_service; then
    source=metadata-service
    set_hostname
    set_password
    # The service may know better than DHCP.
    for nic in $(nics); do
        [ -f "$STATE/network_data" ] && configure_nic "$nic"
    done
fi
[ "$source" = config-drive ] || install_keys
wait_for_addresses all "$patience"
set_state source "$source"

wait "$key_maker"
start_ssh
uuid="$(json_get "$STATE/meta_data" /uuid | plain)"
set_state uuid "${uuid:-none}"
say "up hostname=$(hostname) instance=${uuid:-none} addresses=$(address_list)" \
    "keys=$(get_state keys 0) source=$source"
run_user_data
: > "$STATE/ready"

if [ "$(json_get "$STATE/meta_data" /meta/count)" = true ]; then
    guest-count </dev/null >/dev/null 2>&1 &
fi
exit 0
