# shellcheck shell=bash
# The daemons: a process each, their pid files in run/pids, their output in run/log.

DAEMONS="conductor scheduler compute api api-metadata novncproxy"
GRACE=15

sync_database() {
    must 'minicompute-manage db sync' db-sync "$VENV/bin/minicompute-manage" --config-file "$CONFIG" \
        --config-file "$RUN/local.conf" db sync
}

# start_daemons: those that do not run; the conductor first, because the compute's first word is to it.
start_daemons() {
    local daemon started=''
    for daemon in $DAEMONS; do
        alive "$PIDS/$daemon.pid" && continue
        [ -n "$started" ] || say 'Starting the daemons'
        start_daemon "$daemon"
        [ "$daemon" != conductor ] || await_daemon conductor
        started="$started $daemon"
    done
    for daemon in $started; do
        await_daemon "$daemon"
        note "minicompute-$daemon is ready (pid $(cat "$PIDS/$daemon.pid"))"
    done
}

await_daemon() {
    wait_until 60 ready_or_dead "$1" || true
    is_ready "$1" && alive "$PIDS/$1.pid" && return 0
    daemon_trouble "$1"
    if alive "$PIDS/$1.pid"; then fail "minicompute-$1 is not ready after 60 s: see $LOGS/$1.log"; fi
    fail "minicompute-$1 ended: see $LOGS/$1.log"
}

all_daemons_run() {
    local daemon
    for daemon in $DAEMONS; do
        alive "$PIDS/$daemon.pid" || return 1
    done
}

# start_daemon NAME: a role, or one of several daemons of a role: compute-2 has settings of its own in run/compute-2.conf.
start_daemon() {
    local log="$LOGS/$1.log" own=() nice=0
    # Where all share one machine those who accept requests go before those who work on them.
    case "$1" in conductor* | scheduler*) nice=5 ;; esac
    if [ -e "$RUN/$1.conf" ] && [ "$RUN/$1.conf" != "$CONFIG" ]; then own=(--config-file "$RUN/$1.conf"); fi
    if [ -s "$log" ]; then mv "$log" "$log.1"; fi
    rm -f "$PIDS/$1.pid"
    # PATH and HOME only: what a shell has set for clients (OS_CLOUD, ...) is not for daemons.
    env -i PATH="$PATH" HOME="${HOME:-/root}" LANG=C.UTF-8 ${MINICOMPUTE_CONCURRENCY:+MINICOMPUTE_CONCURRENCY="$MINICOMPUTE_CONCURRENCY"} \
        start-stop-daemon --start --quiet --background --make-pidfile --pidfile "$PIDS/$1.pid" --chdir "$RUN" --nicelevel "$nice" \
        --output "$log" --startas "$VENV/bin/minicompute-${1%-[0-9]*}" -- \
        --config-file "$CONFIG" --config-file "$RUN/local.conf" "${own[@]}"
    # It comes back before its child has written this.
    wait_until 10 test -s "$PIDS/$1.pid" || fail "minicompute-$1 could not be started: see $log"
}

ready_or_dead() { is_ready "$1" || ! alive "$PIDS/$1.pid"; }

is_ready() {
    case "$1" in
        api) api_answers ;;
        api-metadata) alive "$PIDS/$1.pid" && port_open "$METADATA_PORT" ;;
        *) grep -qs ' is ready on ' "$LOGS/$1.log" ;;
    esac
}

api_answers() {
    alive "$PIDS/api.pid" && port_open "$PORT" && "$VENV/bin/python" -c '
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5).read()' "http://127.0.0.1:$PORT/" 2> /dev/null
}

daemon_trouble() { grep -hvE ' (DEBUG|INFO) ' "$LOGS/$1.log" | tail -n 5 | cut -c1-300 | sed 's/^/    | /' >&2; }

stop_daemons() {
    local daemon
    # All at once: each drains, and none needs another for that.
    for daemon in $DAEMONS; do
        if alive "$PIDS/$daemon.pid"; then kill -TERM "$(cat "$PIDS/$daemon.pid")" 2> /dev/null || true; fi
    done
    for daemon in $DAEMONS; do
        end_process "$PIDS/$daemon.pid" "$GRACE"
    done
    stop_strays
}

# stop_strays: whatever no pid file names, such as workers of an api that was killed.
stop_strays() {
    local pid
    for pid in $(strays); do kill -TERM "$pid" 2> /dev/null || true; done
    wait_until 5 no_strays || for pid in $(strays); do kill -KILL "$pid" 2> /dev/null || true; done
}

# strays: our daemons work in $RUN, whatever they call themselves.
strays() {
    local directory
    for directory in /proc/[0-9]*; do
        if [ "$(readlink "$directory/cwd" 2> /dev/null)" = "$RUN" ] &&
            tr '\0' ' ' 2> /dev/null < "$directory/cmdline" | grep -qE 'minicompute-(api|conductor|scheduler|compute|novncproxy|serialproxy)'; then
            basename "$directory"
        fi
    done
}

no_strays() { [ -z "$(strays)" ]; }
