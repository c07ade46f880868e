# shellcheck shell=bash
# Where things are, how to say things, how to wait. Sourced by the scripts in tools/.

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
RUN="${MINICOMPUTE_RUN:-$REPO/run}"
VENV="${MINICOMPUTE_VENV:-$REPO/.venv}"
LOGS="$RUN/log"
PIDS="$RUN/pids"
PROGRAM="$(basename "$0")"

say() { printf '\n==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warn() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }
# fail LINE: what is wrong and what to do about it, in one line; the script ends.
fail() { warn "$*"; exit 1; }

require_root() {
    [ "$(id -u)" = 0 ] || fail "run it as root (sudo $0): it installs packages and starts libvirtd"
}

systemd_runs() { [ -d /run/systemd/system ]; }

make_directories() { mkdir -p "$RUN" "$LOGS" "$PIDS"; }

# logged NAME COMMAND...: the output goes to $LOGS/NAME.log, the status is returned; our lock stays ours.
logged() {
    local log="$LOGS/$1.log"
    shift
    printf '\n$ %s\n' "$*" >> "$log"
    "$@" >> "$log" 2>&1 < /dev/null 9>&-
}

# must WHAT NAME COMMAND...: like logged, and a failure ends the script with a line that names the log.
must() {
    local what="$1" name="$2"
    shift 2
    logged "$name" "$@" && return 0
    tail -n 8 "$LOGS/$name.log" | sed 's/^/    | /' >&2
    fail "$what failed: see $LOGS/$name.log"
}

# wait_until SECONDS COMMAND...: true as soon as the command is; false after so many seconds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.3
    done
}

# port_open PORT [ADDRESS]: whether something listens there, by default on loopback.
port_open() { (exec 3<> "/dev/tcp/${2:-127.0.0.1}/$1") 2> /dev/null; }

# alive PIDFILE: whether its process lives (a zombie does not).
alive() {
    local pid
    pid="$(cat "$1" 2> /dev/null)" && [ -n "$pid" ] && [ -d "/proc/$pid" ] &&
        ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2> /dev/null
}

# end_process PIDFILE SECONDS: SIGTERM, and SIGKILL when that was not enough.
end_process() {
    local pid
    if alive "$1"; then
        pid="$(cat "$1")"
        kill -TERM "$pid" 2> /dev/null || true
        wait_until "$2" not alive "$1" || kill -KILL "$pid" 2> /dev/null || true
        wait_until 5 not alive "$1" || warn "process $pid does not end"
    fi
    rm -f "$1"
}

not() { ! "$@"; }

# secret FILE: a random word that is made once.
secret() {
    [ -s "$1" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$1")
    cat "$1"
}

# tag: a short name of this checkout, so that two of them on one machine keep apart.
tag() { printf '%s' "$RUN" | cksum | cut -d' ' -f1; }
