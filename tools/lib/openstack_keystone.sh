# shellcheck shell=bash
# Keystone: fernet tokens, one region, an administrator `admin` and a plain user `demo` of the project `demo`.

keystone_up() {
    local config="$OS_ETC/keystone/keystone.conf"
    mkdir -p "$OS_ETC/keystone"
    os_database keystone > /dev/null
    keystone_settings | write_file "$config" 600
    [ -e "$RUN/keystone.made" ] || make_keystone "$config"
    os_start keystone env OS_KEYSTONE_CONFIG_DIR="$OS_ETC/keystone" uwsgi --ini \
        "$(os_wsgi keystone $((PORTS + 50)) keystone.wsgi.api:application 2 2)"
    os_await keystone "$KEYSTONE_URL"
    [ -e "$RUN/keystone.filled" ] || {
        USER_PASSWORD="$(os_password demo)" keystone_do user demo demo member
        USER_PASSWORD="$(os_password other)" keystone_do user other other member
        touch "$RUN/keystone.filled"
    }
    note "Keystone answers at $KEYSTONE_URL"
}

keystone_down() { os_stop keystone; }
keystone_status() { report Keystone alive "$PIDS/keystone.pid"; }

keystone_settings() {
    cat << CONF
[DEFAULT]
log_dir = $LOGS
log_file = keystone.log
[database]
connection = $(os_database keystone)
[token]
provider = fernet
[fernet_tokens]
key_repository = $RUN/keystone/fernet
[credential]
key_repository = $RUN/keystone/credential
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = 127.0.0.1:$MEMCACHED_PORT
[identity]
password_hash_rounds = 4
CONF
}

# make_keystone CONFIG: in one process; to import Keystone takes longer than most of what it is then told to do.
make_keystone() {
    note 'making its database and keys'
    mkdir -p "$RUN/keystone/fernet" "$RUN/keystone/credential"
    chmod 700 "$RUN"/keystone/*
    KEYSTONE_PASSWORD="$(os_password admin)" must 'keystone-manage' keystone-manage "$(os_venv)/bin/python" -c '
import os, sys
from keystone.cmd import manage
config, url = sys.argv[1:]
user = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
os.environ["OS_BOOTSTRAP_PASSWORD"] = os.environ["KEYSTONE_PASSWORD"]
for command in (("db_sync",), ("fernet_setup", *user), ("credential_setup", *user),
                ("bootstrap", "--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", url,
                 "--bootstrap-internal-url", url, "--bootstrap-admin-url", url)):
    child = os.fork()
    if not child:
        sys.argv = ["keystone-manage", "--config-file", config, *command]
        manage.main()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"keystone-manage {command[0]} failed")
' "$1" "$KEYSTONE_URL"
    touch "$RUN/keystone.made"
}
