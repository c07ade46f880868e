#!/usr/bin/env bash
# All tests: tools/run_tests.sh [-x] [--once] [-k WORDS] [LAYER...]
#
#   lint         ruff, shellcheck, and the rules of the floors
#   unit         the parts, one by one
#   functional   all roles in one process: everything under native threads on SQLite; what a database server or eventlet
#                may make different on MariaDB and PostgreSQL, and under eventlet
#   integration  real daemons, broker, libvirt and guests
#   long         more of the last two, hours of it: each action on real guests, the whole lab, every functional test on the
#                database servers and under eventlet, random requests and random lives by the thousand
#   openstack    minicompute in a real OpenStack, which tools/openstack_lab.sh brings up
#
# Without a LAYER: all but `long` and `openstack`. Installs what is missing first, and starts and stops the databases itself.
# What runs where, and why, says docs/testing.md.
# A few tests that failed are run again, alone; what passes then is named at the end. With --once, or -x, it has failed.
# The last line says how it ended; the exit code is 0 only if everything passed.
set -eu

here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source-path=SCRIPTDIR
. "$here/lib/common.sh"
. "$here/lib/packages.sh"
. "$here/lib/rabbitmq.sh"
. "$here/lib/libvirt.sh"
. "$here/lib/databases.sh"

LAYERS="lint unit functional integration"
OPTIONS=()
CHOSEN=''
RESULTS=''
FAILED=0
STOP_AT_ONCE=''
ONCE=''
TRIES="$RUN/tries"
#: as many may pass at a second try: more is no accident
FEW=10

main() {
    parse "$@"
    require_root
    make_directories
    rm -rf "$TRIES" && mkdir -p "$TRIES"
    prepare
    trap 'stop_databases' EXIT
    local layer
    for layer in ${CHOSEN:-$LAYERS}; do
        "layer_$layer"
    done
    stop_databases
    trap - EXIT
    summary
}

parse() {
    while [ $# -gt 0 ]; do
        case "$1" in
            -x) STOP_AT_ONCE=1 ONCE=1 OPTIONS+=(-x) ;;
            --once) ONCE=1 ;;
            -k) OPTIONS+=(-k "${2:?-k wants words}") && shift ;;
            lint | unit | functional | integration | long | openstack) CHOSEN="$CHOSEN $1" ;;
            -h | --help) sed -n '2,17s/^# \{0,1\}//p' "$0" && exit 0 ;;
            *) fail "unknown word '$1': layers are $LAYERS long openstack; options are -x, --once and -k WORDS" ;;
        esac
        shift
    done
}

prepare() {
    install_debian "$REPO/tools/debian.list" "$REPO/tools/debian-lab.list" "$REPO/tools/debian-test.list"
    install_python run -e "$REPO" python-openstackclient python-novaclient
    install_python test -r "$REPO/test-requirements.txt"
    export PATH="$VENV/bin:$PATH"
    if wanted functional || wanted integration || wanted long; then
        start_databases
        TEST_DATABASES="$(test_databases)"
        export TEST_DATABASES
    fi
    if wanted integration || wanted long; then
        must 'tools/build_guest.sh' guest "$REPO/tools/build_guest.sh" "$RUN/images"
        start_libvirtd
        open_paths libvirt-qemu
    fi
}

wanted() { [ -z "$CHOSEN" ] || [[ " $CHOSEN " == *" $1 "* ]]; }

# -- the layers --------------------------------------------------------------------

layer_lint() {
    step ruff ruff check --no-cache -q .
    step mypy mypy --no-incremental minicompute
    step shellcheck sh -c 'shellcheck -x -S warning -P tools tools/*.sh benchmarks/*.sh'
    step floors pytest -q -p no:cacheprovider tests/unit/test_floors.py
}

layer_unit() {
    TEST_DATABASES=sqlite step unit tests unit -n 2 -m 'not long' "${OPTIONS[@]}" tests/unit
}

# Six at a time, whatever the machine: these tests wait more than they work, and each worker has a database of its own
# (tests/conftest.py). `generic` is what every flow gets without asking, a third of the whole.
layer_functional() {
    MINICOMPUTE_CONCURRENCY=threading TEST_DATABASES=sqlite step 'functional (threads)' tests threads -n 6 \
        -m 'not long' "${OPTIONS[@]}" tests/functional
    MINICOMPUTE_CONCURRENCY=threading TEST_DATABASES="${TEST_DATABASES#sqlite,}" step 'functional (servers)' \
        tests servers -n 6 -m 'not generic and not long' --cases first "${OPTIONS[@]}" tests/functional tests/unit/db
    MINICOMPUTE_CONCURRENCY=eventlet TEST_DATABASES=sqlite step 'functional (eventlet)' in_parts \
        -m 'not generic and not long' --cases first "${OPTIONS[@]}"
}

# pytest -n does not come up under eventlet: four processes instead, each with its share of the files.
in_parts() {
    local part parts=4 files
    for part in $(seq "$parts"); do
        mapfile -t files < <(find tests/functional -name 'test_*.py' | sort | awk "NR % $parts == $part - 1")
        beside "functional-$part" "$@" "${files[@]}"
    done
    all_beside
}

# Two at a time: who needs this machine's libvirtd, and who does not (tests/integration/conftest.py).
layer_integration() {
    step integration in_groups -m 'not long' "${OPTIONS[@]}" --durations=10 tests/integration
}

in_groups() {
    beside integration-machines --groups machines "$@"
    beside integration-others --groups daemons,lab "$@"
    all_beside
}

# tests NAME ARGUMENTS...: pytest, and what `again` makes of it.
tests() {
    local code=0
    once "$@" || code=$?
    again "$1" "$code"
}

# once NAME ARGUMENTS...: pytest, which leaves in $TRIES what it was asked and which tests failed.
once() {
    local name="$1"
    shift
    printf '%s\0' "$@" > "$TRIES/$name"
    pytest -q -o cache_dir="$TRIES/$name.cache" "$@"
}

# again NAME CODE: the few tests that failed run once more, and alone: on a machine with too much to do a wait may end
# early. -> 0 when they pass; `summary` names them: each is a test, or a race, to be mended.
again() {
    local name="$1" code="$2" failed="$TRIES/$1.cache/v/cache/lastfailed" arguments
    [ "$code" = 1 ] && [ -z "$ONCE" ] && [ -f "$failed" ] || return "$code"
    python -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' "$failed" > "$TRIES/$name.again"
    [ "$(wc -l < "$TRIES/$name.again")" -le "$FEW" ] || return "$code"
    say "$name: once more, what failed"
    mapfile -d '' -t arguments < "$TRIES/$name"
    pytest -q -o cache_dir="$TRIES/$name.cache" --last-failed "${arguments[@]}" -n 0 || return "$code"
    cat "$TRIES/$name.again" >> "$TRIES/unsteady"
}

BESIDE=()

# beside NAME ARGUMENTS...: a pytest in the background.
beside() {
    once "$@" > "$LOGS/$1.log" 2>&1 &
    BESIDE+=("$!:$1")
}

# all_beside: wait for all of them, then `again`; -> the code of one that failed, 5 when none found a test, else 0.
all_beside() {
    local one code=5 own ended=()
    for one in "${BESIDE[@]}"; do
        own=0
        wait "${one%%:*}" || own=$?
        cat "$LOGS/${one#*:}.log"
        ended+=("$own:${one#*:}")
    done
    BESIDE=()
    for one in "${ended[@]}"; do
        own=0
        again "${one#*:}" "${one%%:*}" || own=$?
        if [ "$own" != 5 ] && { [ "$code" = 5 ] || [ "$own" != 0 ]; }; then code=$own; fi
    done
    return "$code"
}

layer_openstack() {
    step openstack tests openstack --groups openstack "${OPTIONS[@]}" --durations=10 tests/integration/openstack
}

layer_long() {
    TEST_DATABASES="${TEST_DATABASES#sqlite,}" step 'long (servers)' tests long-servers -n 6 -m 'not long' \
        "${OPTIONS[@]}" tests/functional tests/unit/db
    MINICOMPUTE_CONCURRENCY=eventlet TEST_DATABASES=sqlite step 'long (eventlet)' in_parts -m 'not long' \
        "${OPTIONS[@]}"
    TEST_DATABASES=sqlite step 'long (contract)' tests long-contract -n 4 -m long "${OPTIONS[@]}" --durations=10 \
        tests/unit tests/functional
    step 'long (guests)' tests long-guests -m long "${OPTIONS[@]}" --durations=10 tests/integration
}

# step NAME COMMAND...: run it in the source tree, and remember how it went.
step() {
    local name="$1" began=$SECONDS word=passed code=0
    shift
    say "$name"
    (cd "$REPO" && "$@") || code=$?
    # pytest's 5: -k chose nothing of this layer.
    if [ "$code" = 5 ] && [ ${#OPTIONS[@]} -gt 0 ]; then
        code=0 word='nothing chosen'
    fi
    if [ "$code" != 0 ]; then FAILED=$((FAILED + 1)) word=FAILED; fi
    RESULTS="$RESULTS$(printf '%-24s %-14s %4d s' "$name" "$word" $((SECONDS - began)))"$'\n'
    if [ "$word" = FAILED ] && [ -n "$STOP_AT_ONCE" ]; then
        stop_databases
        trap - EXIT
        summary
    fi
}

summary() {
    local total
    total="$(printf '%s' "$RESULTS" | wc -l)"
    printf '\n%s\n' "$RESULTS"
    if [ -s "$TRIES/unsteady" ]; then
        printf 'Failed, and passed when run again alone:\n%s\n\n' "$(sed 's/^/    /' "$TRIES/unsteady")"
    fi
    printf '%d passed, %d failed\n' $((total - FAILED)) "$FAILED"
    [ "$FAILED" = 0 ] || exit 1
    exit 0
}

main "$@"
