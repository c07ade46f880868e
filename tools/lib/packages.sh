# shellcheck shell=bash
# What the scripts install: Debian packages from tools/*.list, and the virtual environment.

# install_debian LIST...: those packages of the lists that are missing.
install_debian() {
    local missing
    missing="$(missing_packages "$@")"
    [ -n "$missing" ] || return 0
    command -v apt-get > /dev/null ||
        fail "this is no Debian: install by hand what tools/debian.list names, here missing:" $missing
    say "Installing from Debian:" $missing
    must 'apt-get update' apt apt-get -q update
    hold_daemons
    # shellcheck disable=SC2086  # a list of words
    logged apt env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold install $missing || {
        release_daemons
        tail -n 8 "$LOGS/apt.log" | sed 's/^/    | /' >&2
        fail "apt-get install failed: see $LOGS/apt.log"
    }
    release_daemons
}

missing_packages() {
    local package
    grep -hvE '^(#|$)' "$@" | while read -r package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || printf '%s ' "$package"
    done
}

# hold_daemons: packages must not start daemons with settings that are not ours; we start what we need.
hold_daemons() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    printf '#!/bin/sh\n# minicompute: no daemon is started while packages are installed\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap release_daemons EXIT
}

release_daemons() {
    if grep -qs '^# minicompute:' /usr/sbin/policy-rc.d; then rm -f /usr/sbin/policy-rc.d; fi
    trap - EXIT
}

# install_python STAMP WORD...: the virtual environment with minicompute and what the words name, once for
# each state of the lists.
install_python() {
    local stamp="$VENV/.minicompute-$1" python want
    shift
    want="$(cd "$REPO" && { cat setup.cfg requirements.txt test-requirements.txt constraints.txt; echo "$REPO" "$@"; } | cksum)"
    [ "$(cat "$stamp" 2> /dev/null)" != "$want" ] || return 0
    if [ ! -x "$VENV/bin/python" ]; then
        python="$(find_python)" || fail 'no Python from 3.11 to 3.13 with venv and headers: apt-get install python3-venv python3-dev'
        say "Making $VENV with $("$python" -V)"
        must 'python -m venv' pip "$python" -m venv "$VENV"
    fi
    say "Installing from PyPI into $VENV"
    must 'pip install' pip "$VENV/bin/python" -m pip install --disable-pip-version-check -q \
        -c "$REPO/constraints.txt" "$@"
    printf '%s' "$want" > "$stamp"
}

find_python() {
    local candidate path
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        path="$(command -v "$candidate")" || continue
        if "$path" -c '
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and os.path.exists(header)))' 2> /dev/null; then
            echo "$path"
            return 0
        fi
    done
    return 1
}

# novnc_page: where noVNC's page is, or will be.
novnc_page() { if [ -d /usr/share/novnc ]; then echo /usr/share/novnc; else echo "$RUN/novnc/usr/share/novnc"; fi; }

# install_novnc: the page alone. Installed as a package it brings fifty others, for a proxy that is not ours.
install_novnc() {
    [ ! -e "$(novnc_page)/vnc_lite.html" ] || return 0
    local place="$RUN/novnc.new"
    rm -rf "$place" "$RUN/novnc"
    mkdir -p "$place"
    (cd "$place" && logged apt apt-get -q -o APT::Sandbox::User=root download novnc) || {
        must 'apt-get update' apt apt-get -q update
        (cd "$place" && must 'the download of novnc' apt apt-get -q -o APT::Sandbox::User=root download novnc)
    }
    must 'the page of novnc' apt dpkg-deb -x "$place"/novnc_*.deb "$place"
    mv "$place" "$RUN/novnc"
}
