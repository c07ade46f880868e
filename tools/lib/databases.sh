# shellcheck shell=bash
# MariaDB and PostgreSQL for tests and benchmarks: own data directories under run/test, own ports, nothing kept.

TEST_DIR="$RUN/test"
MARIADB_PORT="${TEST_MARIADB_PORT:-13316}"
POSTGRES_PORT="${TEST_POSTGRES_PORT:-15442}"
# Nothing in a test's database is worth a wait for the disk. The benchmarks empty these: they commit durably.
MARIADB_SPEED=(--innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=256M)
POSTGRES_SPEED=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off)

# test_databases: what the tests are told in TEST_DATABASES.
test_databases() {
    printf 'sqlite,mysql+pymysql://root@127.0.0.1:%s/minicompute_test,postgresql+psycopg://postgres@127.0.0.1:%s/minicompute_test' \
        "$MARIADB_PORT" "$POSTGRES_PORT"
}

start_databases() {
    mkdir -p "$TEST_DIR"
    start_mariadb
    start_postgres
}

stop_databases() {
    end_process "$TEST_DIR/mariadb.pid" 20
    # SIGINT: PostgreSQL's fast shutdown.
    if alive "$TEST_DIR/postgres.pid"; then kill -INT "$(cat "$TEST_DIR/postgres.pid")"; fi
    wait_until 10 not alive "$TEST_DIR/postgres.pid" || true
    end_process "$TEST_DIR/postgres.pid" 5
}

start_mariadb() {
    local data="$TEST_DIR/mariadb"
    alive "$TEST_DIR/mariadb.pid" && return 0
    check_test_port "$MARIADB_PORT" TEST_MARIADB_PORT
    say "Starting MariaDB on port $MARIADB_PORT"
    # To start-stop-daemon one that was killed and is not reaped yet still runs.
    rm -f "$TEST_DIR/mariadb.pid"
    [ -d "$data/mysql" ] || must 'mariadb-install-db' mariadb mariadb-install-db --no-defaults --user=root \
        --datadir="$data" --auth-root-authentication-method=normal --skip-test-db
    start-stop-daemon --start --quiet --background --make-pidfile --pidfile "$TEST_DIR/mariadb.pid" \
        --output "$LOGS/mariadb.log" --startas "$(command -v mariadbd)" -- --no-defaults --user=root \
        --datadir="$data" --socket="$TEST_DIR/mariadb.sock" --bind-address=127.0.0.1 --port="$MARIADB_PORT" \
        --skip-name-resolve --max-connections=500 --skip-log-bin "${MARIADB_SPEED[@]}"
    wait_until 60 mariadb_do 'SELECT 1' || fail "MariaDB does not answer: see $LOGS/mariadb.log"
    must 'CREATE DATABASE' mariadb mariadb_do 'CREATE DATABASE IF NOT EXISTS minicompute_test'
}

mariadb_do() { mariadb --no-defaults -u root -S "$TEST_DIR/mariadb.sock" -e "$1" > /dev/null 2>&1; }

start_postgres() {
    local bin data="$TEST_DIR/postgres"
    alive "$TEST_DIR/postgres.pid" && return 0
    check_test_port "$POSTGRES_PORT" TEST_POSTGRES_PORT
    bin="$(find /usr/lib/postgresql -maxdepth 2 -name bin 2> /dev/null | sort -V | tail -n 1)"
    [ -n "$bin" ] || fail 'PostgreSQL is not installed: apt-get install postgresql'
    say "Starting PostgreSQL on port $POSTGRES_PORT"
    open_paths postgres
    if [ ! -s "$data/PG_VERSION" ]; then
        install -d -o postgres -m 700 "$data"
        must 'initdb' postgres as_postgres "$bin/initdb" -D "$data" -A trust -E UTF8 --locale=C.UTF-8
    fi
    # No option of runuser keeps the pid; start-stop-daemon changes the user by itself.
    start-stop-daemon --start --quiet --background --make-pidfile --pidfile "$TEST_DIR/postgres.pid" \
        --output "$LOGS/postgres.log" --chuid postgres --chdir / --startas "$bin/postgres" -- -D "$data" \
        -c listen_addresses=127.0.0.1 -c port="$POSTGRES_PORT" -c unix_socket_directories= \
        -c max_connections=300 "${POSTGRES_SPEED[@]}"
    wait_until 60 postgres_do 'SELECT 1' || fail "PostgreSQL does not answer: see $LOGS/postgres.log"
    postgres_do 'CREATE DATABASE minicompute_test' || true
}

as_postgres() { (cd / && runuser -u postgres -- "$@"); }
postgres_do() { psql -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres -c "$1" > /dev/null 2>&1; }

check_test_port() {
    ! port_open "$1" || fail "something else listens on port $1: stop it, or say $2=PORT $0"
}
