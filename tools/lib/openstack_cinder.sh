# shellcheck shell=bash
# Cinder with two backends: files in an "NFS" share, which is a bind mount, and RBD on a Ceph of one node.

CINDER_PORT=$((PORTS + 76))
CINDER_URL="http://127.0.0.1:$CINDER_PORT"
CINDER="$RUN/cinder"
CEPH="$RUN/ceph"
CEPH_MON=$((PORTS + 33))        # and 34 for the older protocol, 35 to 48 for the other daemons
CEPH_SECRET_FILE="$CEPH/libvirt-secret"
SHARE=127.0.0.1:/cinder_share
SHARE_AT="$CINDER/mnt/$(printf %s "$SHARE" | md5sum | cut -d' ' -f1)"

os_packages cinder==29.0.0

cinder_early() {
    ceph_secret > /dev/null
    start_ceph
}

cinder_up() {
    local etc="$OS_ETC/cinder" service
    mkdir -p "$etc" "$CINDER"/{state/lock,state/coord,share}
    chmod 755 "$CINDER" "$CINDER/share"
    mount_share
    start_ceph
    os_database cinder > /dev/null
    os_transport cinder > /dev/null
    os_service_user cinder > /dev/null
    os_service_user nova > /dev/null
    printf '%s\n' "$SHARE" > "$etc/nfs_shares"
    cinder_settings | write_file "$etc/cinder.conf" 600
    # Ceph's bindings are Debian's, built for Debian's Python.
    ln -sf /usr/lib/python3/dist-packages/{rados,rbd}*.so \
        "$("$(os_venv)/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/"
    # The driver runs it once, to see that there is one; what is mounted already it never mounts.
    ln -sf /bin/true "$(os_venv)/bin/mount.nfs"
    [ -e "$RUN/cinder.made" ] || {
        note 'making its database'
        must 'cinder-manage db sync' cinder-manage "$(os_venv)/bin/cinder-manage" --config-file "$etc/cinder.conf" db sync
        os_endpoint block-storage cinder "$CINDER_URL/v3/%(project_id)s"
        touch "$RUN/cinder.made"
    }
    for service in api scheduler volume; do
        os_start "cinder-$service" "cinder-$service" --config-file "$etc/cinder.conf" --log-file "$LOGS/cinder-$service.log"
    done
    os_await cinder-api "$CINDER_URL/"
    start_libvirtd
    keep_ceph_secret
    note "Cinder answers at $CINDER_URL"
}

cinder_down() {
    local service
    for service in cinder-volume cinder-scheduler cinder-api; do os_stop "$service"; done
    if [ -e "$CEPH_SECRET_FILE" ] && libvirt_answers; then
        virsh_ secret-undefine "$(cat "$CEPH_SECRET_FILE")" > /dev/null || true
    fi
    for service in ceph-mgr ceph-osd ceph-mon; do os_stop "$service" 30; done
    if share_is_mounted; then umount "$SHARE_AT"; fi
}

cinder_status() {
    local service trouble=0
    for service in ceph-mon ceph-osd ceph-mgr cinder-api cinder-scheduler cinder-volume; do
        report "$service" alive "$PIDS/$service.pid" || trouble=1
    done
    report 'the share of Cinder' share_is_mounted || trouble=1
    return "$trouble"
}

cinder_settings() {
    local helper
    helper="$(os_venv)/bin/privsep-helper --config-file $OS_ETC/cinder/cinder.conf"
    cat << CONF
[DEFAULT]
state_path = $CINDER/state
my_ip = 127.0.0.1
host = $(host_name)
auth_strategy = keystone
api_paste_config = $(os_venv)/etc/cinder/api-paste.ini
resource_query_filters_file = $(os_venv)/etc/cinder/resource_filters.json
rootwrap_config = $(os_venv)/etc/cinder/rootwrap.conf
transport_url = $(os_transport cinder)
osapi_volume_listen = 127.0.0.1
osapi_volume_listen_port = $CINDER_PORT
osapi_volume_workers = 1
glance_api_servers = $GLANCE_URL
enabled_backends = nfs1,rbd1
default_volume_type = __DEFAULT__
[database]
connection = $(os_database cinder)
[oslo_concurrency]
lock_path = $CINDER/state/lock
[coordination]
backend_url = file://$CINDER/state/coord
[oslo_messaging_notifications]
driver = noop
[keystone_authtoken]
$(os_authtoken cinder)
[service_user]
send_service_user_token = true
$(os_credentials cinder)
[nova]
interface = public
token_auth_url = $KEYSTONE_URL
$(os_credentials cinder)
[privsep_osbrick]
helper_command = $helper
[cinder_sys_admin]
helper_command = $helper
[nfs1]
volume_driver = cinder.volume.drivers.nfs.NfsDriver
volume_backend_name = nfs1
nfs_shares_config = $OS_ETC/cinder/nfs_shares
nfs_mount_point_base = $CINDER/mnt
nfs_qcow2_volumes = true
nfs_snapshot_support = true
nas_secure_file_operations = false
nas_secure_file_permissions = false
[rbd1]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = rbd1
rbd_pool = volumes
rbd_ceph_conf = $CEPH/ceph.conf
rbd_user = cinder
rbd_secret_uuid = $(ceph_secret)
rados_connect_timeout = 5
CONF
}

# cinder_compute_settings: what minicompute's configuration says of it.
cinder_compute_settings() {
    cat << CONF
[DEFAULT]
volume_backend = cinder
[cinder]
$(os_credentials nova)
[libvirt]
nfs_mount_point_base = $CINDER/mnt
CONF
}

# -- the share ---------------------------------------------------------------------------

share_is_mounted() { grep -qF " $(readlink -m "$SHARE_AT") " /proc/mounts; }

mount_share() {
    mkdir -p "$SHARE_AT"
    share_is_mounted || mount --bind "$CINDER/share" "$SHARE_AT" || fail "$CINDER/share cannot be mounted at $SHARE_AT"
}

# -- Ceph --------------------------------------------------------------------------------

ceph_do() { CEPH_CONF="$CEPH/ceph.conf" timeout 60 "$@"; }

ceph_secret() {
    mkdir -p "$CEPH"
    [ -s "$CEPH_SECRET_FILE" ] || cat /proc/sys/kernel/random/uuid > "$CEPH_SECRET_FILE"
    cat "$CEPH_SECRET_FILE"
}

# keep_ceph_secret: QEMU has it from libvirt.
keep_ceph_secret() {
    local key
    printf "<secret ephemeral='no' private='yes'><uuid>%s</uuid><usage type='ceph'><name>client.cinder at %s</name></usage></secret>\n" \
        "$(ceph_secret)" "$CEPH" > "$CEPH/secret.xml"
    virsh_ secret-define "$CEPH/secret.xml" > /dev/null || fail 'libvirt does not take the secret of Ceph'
    key="$(CEPH_CONF="$CEPH/ceph.conf" ceph-authtool -p -n client.cinder "$CEPH/keyring")"
    virsh_ secret-set-value "$(ceph_secret)" "$key" > /dev/null || fail 'libvirt does not take the key of Ceph'
}

start_ceph() {
    mkdir -p "$CEPH"/{mon/a,osd/0,mgr/a,run,log}
    [ -e "$CEPH/made" ] || make_ceph
    start_ceph_daemon mon a
    start_ceph_daemon osd 0
    start_ceph_daemon mgr a
    wait_until 90 ceph_answers || fail "Ceph does not come up: see $LOGS/ceph.log and $CEPH/log"
    [ -e "$CEPH/pool" ] || {
        must 'pool' ceph ceph_do ceph osd pool create volumes 8 8
        must 'pool' ceph ceph_do ceph osd pool set volumes size 1 --yes-i-really-mean-it
        must 'rbd pool init' ceph ceph_do rbd pool init volumes
        touch "$CEPH/pool"
    }
}

start_ceph_daemon() { os_start "ceph-$1" env "CEPH_CONF=$CEPH/ceph.conf" "ceph-$1" -i "$2" -f; }

ceph_answers() { logged ceph ceph_do ceph -s --connect-timeout 5; }

make_ceph() {
    local osd keyring="$CEPH/keyring"
    find "$CEPH" -mindepth 1 ! -type d ! -name libvirt-secret -delete
    cat /proc/sys/kernel/random/uuid > "$CEPH/fsid"
    ceph_settings > "$CEPH/ceph.conf"
    must 'ceph keys' ceph ceph_keys "$keyring"
    must 'monmaptool' ceph monmaptool --create --addv a "[v2:127.0.0.1:$CEPH_MON,v1:127.0.0.1:$((CEPH_MON + 1))]" \
        --fsid "$(cat "$CEPH/fsid")" --clobber "$CEPH/monmap"
    must 'ceph-mon --mkfs' ceph ceph_do ceph-mon --mkfs -i a --monmap "$CEPH/monmap" --keyring "$keyring"
    start_ceph_daemon mon a
    wait_until 60 ceph_answers || fail "the monitor of Ceph does not answer: see $CEPH/log"
    osd="$(cat /proc/sys/kernel/random/uuid)"
    must 'ceph osd new' ceph ceph_do ceph osd new "$osd"
    must 'ceph-osd --mkfs' ceph ceph_do ceph-osd -i 0 --mkfs --osd-uuid "$osd"
    touch "$CEPH/made"
}

ceph_keys() {
    ceph-authtool -C "$1" --gen-key -n mon. --cap mon 'allow *' &&
        ceph-authtool "$1" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *' &&
        ceph-authtool "$1" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *' &&
        ceph-authtool "$1" --gen-key -n mgr.a --cap mon 'allow profile mgr' --cap osd 'allow *' --cap mds 'allow *' &&
        ceph-authtool "$1" --gen-key -n client.cinder --cap mon 'profile rbd' --cap osd 'profile rbd pool=volumes' --cap mgr 'profile rbd pool=volumes'
}

ceph_settings() {
    cat << CONF
[global]
fsid = $(cat "$CEPH/fsid")
mon_initial_members = a
mon_host = [v2:127.0.0.1:$CEPH_MON,v1:127.0.0.1:$((CEPH_MON + 1))]
public_network = 127.0.0.0/8
keyring = $CEPH/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
auth_allow_insecure_global_id_reclaim = false
run_dir = $CEPH/run
admin_socket = $CEPH/run/\$name.\$pid.asok
pid_file = $CEPH/run/\$name.pid
log_file = $CEPH/log/\$name.log
ms_bind_port_min = $((CEPH_MON + 2))
ms_bind_port_max = $((CEPH_MON + 15))
[mon]
mon_data = $CEPH/mon/\$id
mon_data_avail_warn = 2
mon_data_avail_crit = 1
[osd]
osd_data = $CEPH/osd/\$id
osd_objectstore = bluestore
bluestore_block_path =
bluestore_block_size = 10737418240
bluestore_block_create = true
osd_memory_target = 939524096
[mgr]
mgr_data = $CEPH/mgr/\$id
[client]
admin_socket =
log_file =
CONF
}
