# shellcheck shell=bash
# What the services of OpenStack share: one virtual environment, databases, broker, log-ins, and how they are started.
# Everything here may be done again.
#
#   os_venv                        where the services are installed
#   os_packages WORD...            what to install there besides; before prepare_machine (OS_PACKAGES)
#   os_database NAME               makes it, prints its URL
#   os_transport NAME              makes a virtual host, prints its URL
#   os_service_user NAME           a user of the project `service` with the roles admin and service; prints the password
#   os_credentials NAME            lines for a section of a configuration: log in as this user
#   os_authtoken NAME              the same for [keystone_authtoken]
#   os_endpoint TYPE NAME URL      in the catalog, all three interfaces
#   os_wsgi NAME PORT MODULE [PROCESSES [THREADS]]    settings for uWSGI, prints their path
#   os_start NAME COMMAND...       a process with a pid file and a log; one that runs under the same command is left
#   os_await NAME URL              until it answers
#   os_stop NAME [SECONDS]
#   aside NAME COMMAND...          beside what goes on; what it says goes to a log
#   joined NAME...                 waits for these, and fails if one of them did
#
# A neighbour may have a function NAME_early: what of it needs Debian's packages alone, run while pip works.

# Services by their releases; what they need besides is what pip finds.
OS_PACKAGES="keystone==30.0.0 glance==33.0.0 PyMySQL pymemcache python-memcached ${OS_PACKAGES:-}"
OS_ETC="$RUN/etc"
KEYSTONE_URL="http://127.0.0.1:$((PORTS + 50))/v3"
MEMCACHED_PORT=$((PORTS + 11))
TEST_DIR="$RUN/database"
MARIADB_PORT="$TEST_MARIADB_PORT"
MARIADB_SPEED=(--innodb-flush-log-at-trx-commit=2 --innodb-buffer-pool-size=256M)

os_venv() { echo "$RUN/venv"; }

os_packages() { OS_PACKAGES="$OS_PACKAGES $*"; }

# prepare_machine: packages of Debian, our own environment, that of OpenStack, and the guest's image.
prepare_machine() {
    local lists=("$REPO/tools/debian.list" "$REPO/tools/debian-openstack.list") part
    for part in $(parts); do
        if [ -e "$REPO/tools/debian-$part.list" ]; then lists+=("$REPO/tools/debian-$part.list"); fi
    done
    install_debian "${lists[@]}"
    trap 'wait' EXIT
    host_name > /dev/null
    aside openstack install_openstack
    aside infrastructure bring_infrastructure
    # Keystone's records are made by our own environment.
    install_python run -e "$REPO" python-openstackclient python-novaclient
    for part in $(parts); do
        if declare -F "${part}_early" > /dev/null; then aside "$part-early" "${part}_early"; fi
    done
    install_novnc
    [ -s "$REPO/run/images/minicompute-guest.qcow2" ] || say 'Building the guest image'
    must 'tools/build_guest.sh' guest "$REPO/tools/build_guest.sh" "$REPO/run/images"
}

declare -A ASIDE=()

aside() {
    local name="$1"
    shift
    "$@" > "$LOGS/aside-$name.log" 2>&1 < /dev/null &
    ASIDE[$name]=$!
}

joined() {
    local name code
    for name in "$@"; do
        [ -n "${ASIDE[$name]:-}" ] || continue
        code=0
        wait "${ASIDE[$name]}" || code=$?
        unset "ASIDE[$name]"
        sed '/^$/d' "$LOGS/aside-$name.log"
        [ "$code" = 0 ] || fail "$name failed: see $LOGS/aside-$name.log"
    done
}

install_openstack() {
    local venv stamp want python
    venv="$(os_venv)" stamp="$(os_venv)/.minicompute-openstack" want="$(echo "$RUN $OS_PACKAGES" | cksum)"
    [ "$(cat "$stamp" 2> /dev/null)" != "$want" ] || return 0
    if [ ! -x "$venv/bin/python" ]; then
        # Debian's own, if it may be: Ceph's bindings, which Cinder wants, are built for that one.
        python="$(PYTHON=/usr/bin/python3 find_python)" || fail 'no Python from 3.11 to 3.13 with venv and headers: apt-get install python3-venv python3-dev'
        must 'python -m venv' openstack-pip "$python" -m venv "$venv"
    fi
    say "Installing OpenStack from PyPI into $venv"
    # uWSGI is linked with the Python that builds it: one from pip's cache may be another's, of the same version. It is
    # C, and takes as long as half of the rest.
    rm -rf "$RUN/wheels"
    aside uwsgi must 'pip wheel' uwsgi-pip "$venv/bin/python" -m pip wheel --disable-pip-version-check -q --no-cache-dir \
        --use-pep517 --no-deps -w "$RUN/wheels" uwsgi
    # Compiled is what is imported, when it is: that is less than half.
    # shellcheck disable=SC2086  # a list of words
    must 'pip install' openstack-pip "$venv/bin/python" -m pip install --disable-pip-version-check -q --no-compile $OS_PACKAGES
    joined uwsgi
    must 'pip install' openstack-pip "$venv/bin/python" -m pip install --disable-pip-version-check -q --no-index "$RUN"/wheels/*.whl
    printf '%s' "$want" > "$stamp"
}

# start_infrastructure: all that was begun aside is done.
start_infrastructure() {
    joined "${!ASIDE[@]}"
    bring_infrastructure
}

# bring_infrastructure: databases, broker, what each service has in them.
bring_infrastructure() {
    local name
    mkdir -p "$OS_ETC" "$TEST_DIR" "$RUN/commands"
    start_mariadb
    start_broker
    os_start memcached memcached -l 127.0.0.1 -p "$MEMCACHED_PORT" -u nobody -m 64
    for name in neutron cinder minicompute; do os_transport "$name" > /dev/null; done
}

# start_services: Keystone, and then all others at once.
start_services() {
    local part
    # What two of them want is made before: accounts, and libvirtd for the secret of Ceph and for the computes.
    say 'keystone'
    keystone_up
    for part in nova $(parts); do
        [ "$part" = keystone ] || os_service_user "$part" > /dev/null
    done
    secret "$RUN/metadata_secret" > /dev/null
    start_libvirtd
    write_clients
    say "minicompute, and $(parts | grep -v keystone | xargs)"
    for part in $(parts); do
        [ "$part" = keystone ] || aside "$part" "${part}_up"
    done
    aside minicompute compute_up
    joined $(parts | grep -v keystone) minicompute
}

stop_infrastructure() {
    say 'Stopping memcached, RabbitMQ and MariaDB'
    os_stop memcached
    stop_broker
    end_process "$TEST_DIR/mariadb.pid" 20
}

os_database() {
    mariadb_do "CREATE DATABASE IF NOT EXISTS \`$1\` CHARACTER SET utf8mb4" || fail "database $1 cannot be made: see $LOGS/mariadb.log"
    printf 'mysql+pymysql://root@127.0.0.1:%s/%s?charset=utf8mb4\n' "$MARIADB_PORT" "$1"
}

os_transport() {
    if [ ! -e "$BROKER_DIR/vhost.$1" ]; then
        with_node "$RABBIT_BIN/rabbitmqctl" -q add_vhost "$1" >> "$LOGS/rabbitmq.log" 2>&1 9>&- ||
            with_node "$RABBIT_BIN/rabbitmqctl" -q list_vhosts 9>&- | grep -qx "$1" || fail "virtual host $1 cannot be made: see $LOGS/rabbitmq.log"
        with_node "$RABBIT_BIN/rabbitmqctl" -q set_permissions -p "$1" "$BROKER_LOGIN" '.*' '.*' '.*' >> "$LOGS/rabbitmq.log" 2>&1 9>&- ||
            fail "virtual host $1 cannot be opened: see $LOGS/rabbitmq.log"
        touch "$BROKER_DIR/vhost.$1"
    fi
    printf '%s%s\n' "$(broker_url)" "$1"
}

# -- Keystone's records --------------------------------------------------------------

os_password() { secret "$RUN/password.$1"; }

# keystone_do WORD...: see openstack_admin.py.
keystone_do() {
    OS_ADMIN_PASSWORD="$(os_password admin)" logged keystone-admin "$VENV/bin/python" "$REPO/tools/lib/openstack_admin.py" "$KEYSTONE_URL" "$@" || {
        tail -n 3 "$LOGS/keystone-admin.log" | sed 's/^/    | /' >&2
        fail "Keystone does not take '$1 $2': see $LOGS/keystone-admin.log"
    }
}

os_service_user() {
    [ -e "$RUN/password.$1.known" ] || {
        USER_PASSWORD="$(os_password "$1")" keystone_do user "$1" service admin service
        touch "$RUN/password.$1.known"
    }
    os_password "$1"
}

os_credentials() {
    cat << CONF
auth_type = password
auth_url = $KEYSTONE_URL
username = $1
password = $(os_service_user "$1")
user_domain_id = default
project_name = service
project_domain_id = default
region_name = RegionOne
CONF
}

os_authtoken() {
    os_credentials "$1"
    cat << CONF
www_authenticate_uri = $KEYSTONE_URL
memcached_servers = 127.0.0.1:$MEMCACHED_PORT
service_token_roles = service
service_token_roles_required = true
CONF
}

os_endpoint() { keystone_do endpoint "$1" "$2" "$3"; }

# -- processes -------------------------------------------------------------------------

os_wsgi() {
    mkdir -p "$OS_ETC"
    write_file "$OS_ETC/uwsgi-$1.ini" 644 << CONF
[uwsgi]
http-socket = 127.0.0.1:$2
module = $3
master = true
processes = ${4:-1}
threads = ${5:-4}
enable-threads = true
lazy-apps = true
need-app = true
die-on-term = true
start-time = %t
buffer-size = 65535
listen = 100
disable-logging = true
add-header = Connection: close
virtualenv = $(os_venv)
CONF
    echo "$OS_ETC/uwsgi-$1.ini"
}

os_start() {
    local name="$1" command
    shift
    command="$(printf '%q ' "$@")"
    if alive "$PIDS/$name.pid"; then
        [ "$(cat "$RUN/commands/$name" 2> /dev/null)" != "$command" ] || return 0
        os_stop "$name"
    fi
    mkdir -p "$RUN/commands"
    printf '%s' "$command" > "$RUN/commands/$name"
    os_again "$name"
}

# os_again NAME: as it was started last.
os_again() {
    local name="$1" words
    alive "$PIDS/$name.pid" && return 0
    eval "words=($(cat "$RUN/commands/$name"))"
    rm -f "$PIDS/$name.pid"
    # What a shell has set for clients is not for services; settings of their own are words before the command: env A=b.
    env -i PATH="$(os_venv)/bin:$PATH" HOME="${HOME:-/root}" LANG=C.UTF-8 \
        start-stop-daemon --start --quiet --background --make-pidfile --pidfile "$PIDS/$name.pid" --chdir "$RUN" \
        --output "$LOGS/$name.out" --startas "$(PATH="$(os_venv)/bin:$PATH" command -v "${words[0]}")" -- "${words[@]:1}"
    wait_until 10 test -s "$PIDS/$name.pid" || fail "$name could not be started: see $LOGS/$name.out"
}

os_await() {
    wait_until "${3:-180}" os_answers_or_dead "$1" "$2" || true
    os_answers "$2" && return 0
    tail -n 5 "$LOGS/$1.out" | cut -c1-300 | sed 's/^/    | /' >&2
    fail "$1 does not answer at $2: see $LOGS/$1.log and $LOGS/$1.out"
}

os_answers_or_dead() { os_answers "$2" || ! alive "$PIDS/$1.pid"; }

# os_answers URL: with anything but a server's error.
os_answers() {
    "$VENV/bin/python" -c '
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=10).read()
except urllib.error.HTTPError as error:
    sys.exit(error.code >= 500)' "$1" 2> /dev/null
}

# os_stop NAME [SECONDS]: it, and whatever of its children outlives it.
os_stop() {
    local pid children=''
    if alive "$PIDS/$1.pid"; then
        pid="$(cat "$PIDS/$1.pid")"
        children="$(descendants "$pid")"
    fi
    end_process "$PIDS/$1.pid" "${2:-20}"
    for pid in $children; do
        if wait_until 3 not test -d "/proc/$pid"; then continue; fi
        kill -KILL "$pid" 2> /dev/null || true
    done
}

descendants() {
    local child
    for child in $(cat /proc/"$1"/task/*/children 2> /dev/null); do
        echo "$child"
        descendants "$child"
    done
}
