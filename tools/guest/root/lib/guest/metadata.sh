# shellcheck shell=sh
# Who am I: the config drive, else the metadata service. Leaves flattened documents in $STATE, user_data as it is.

SERVICE=http://169.254.169.254/openstack/latest

# flatten FROM NAME: a JSON document into $STATE/NAME, if it is JSON.
flatten() {
    [ -f "$1" ] || return 1
    if head -c 1048576 "$1" | awk -f /lib/guest/json.awk > "$STATE/$2.new"; then
        mv "$STATE/$2.new" "$STATE/$2"
    else
        rm -f "$STATE/$2.new"
        say "ignored $2: not JSON"
        return 1
    fi
}

# find_config_drive: prints its device. SCSI and SATA are scanned when their drivers are loaded, because of
# etc/modprobe.conf, so there is little to wait for; USB takes its time.
find_config_drive() {
    tries=2
    [ -d /sys/bus/usb/drivers/usb-storage ] && tries=20
    while [ "$tries" -gt 0 ]; do
        findfs LABEL=config-2 2>/dev/null && return 0
        findfs LABEL=CONFIG-2 2>/dev/null && return 0
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] && usleep 200000
    done
    return 1
}

read_config_drive() {
    device="$(find_config_drive)" || return 1
    mkdir -p /run/config
    mount -t iso9660 -o ro,nodev,nosuid,noexec "$device" /run/config 2>/dev/null ||
        mount -t vfat -o ro,nodev,nosuid,noexec "$device" /run/config 2>/dev/null || return 1
    from=/run/config/openstack/latest
    found=1
    if flatten "$from/meta_data.json" meta_data; then
        found=0
        [ -f "$from/network_data.json" ] && flatten "$from/network_data.json" network_data
        [ -f "$from/user_data" ] && cp "$from/user_data" "$STATE/user_data_file"
    fi
    umount /run/config
    return $found
}

# fetch NAME: from the service into $STATE/fetched.NAME
fetch() {
    # Not wget -T, with which this busybox crashes.
    timeout 4 wget -q -O "$STATE/fetched.$1" "$SERVICE/$1" 2>/dev/null || {
        rm -f "$STATE/fetched.$1"
        return 1
    }
}

read_metadata_service() {
    for _ in 1 2 3; do
        if fetch meta_data.json; then
            flatten "$STATE/fetched.meta_data.json" meta_data || return 1
            fetch network_data.json && flatten "$STATE/fetched.network_data.json" network_data
            fetch user_data && mv "$STATE/fetched.user_data" "$STATE/user_data_file"
            rm -f "$STATE"/fetched.*
            return 0
        fi
        sleep 1
    done
    return 1
}
