# shellcheck shell=bash
# Glance: one API, images as files.

GLANCE_PORT=$((PORTS + 92))
GLANCE_URL="http://127.0.0.1:$GLANCE_PORT"

glance_up() {
    local etc="$OS_ETC/glance"
    mkdir -p "$etc" "$RUN"/glance/{images,staging,tasks}
    os_database glance > /dev/null
    os_service_user glance > /dev/null
    glance_settings | write_file "$etc/glance-api.conf" 600
    cp "$(os_venv)/etc/glance/glance-api-paste.ini" "$etc/"
    [ -e "$RUN/glance.made" ] || {
        note 'making its database'
        must 'glance-manage db_sync' glance-manage "$(os_venv)/bin/glance-manage" --config-file "$etc/glance-api.conf" db_sync
        os_endpoint image glance "$GLANCE_URL"
        touch "$RUN/glance.made"
    }
    os_start glance env OS_GLANCE_CONFIG_DIR="$etc" uwsgi --ini "$(os_wsgi glance "$GLANCE_PORT" glance.wsgi.api:application 1 4)"
    os_await glance "$GLANCE_URL/versions"
    note "Glance answers at $GLANCE_URL"
}

glance_down() { os_stop glance; }
glance_status() { report Glance alive "$PIDS/glance.pid"; }

glance_settings() {
    cat << CONF
[DEFAULT]
log_dir = $LOGS
log_file = glance.log
enabled_backends = file:file
bind_host = 127.0.0.1
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $RUN/glance/images
[os_glance_staging_store]
filesystem_store_datadir = $RUN/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = $RUN/glance/tasks
[database]
connection = $(os_database glance)
[paste_deploy]
flavor = keystone
[keystone_authtoken]
$(os_authtoken glance)
CONF
}

# glance_compute_settings: what minicompute's configuration says of it.
glance_compute_settings() {
    cat << CONF
[DEFAULT]
image_backend = glance
[glance]
$(os_credentials nova)
CONF
}
