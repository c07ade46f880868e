# shellcheck shell=bash
# The message broker: the machine's own RabbitMQ when it runs, else its default node started on loopback.
# This checkout has a user and a virtual host of its own in it.

RABBIT_STARTED="$RUN/rabbitmq.started"
BROKER_USER="minicompute-$(tag)"

# transport_url: what the daemons are told. MINICOMPUTE_TRANSPORT_URL names another broker, which is left alone.
transport_url() {
    printf '%s' "${MINICOMPUTE_TRANSPORT_URL:-rabbit://$BROKER_USER:$(secret "$RUN/rabbitmq.password")@127.0.0.1:5672/$BROKER_USER}"
}

start_rabbitmq() {
    [ -z "${MINICOMPUTE_TRANSPORT_URL:-}" ] || return 0
    if port_open 5672; then
        return 0
    fi
    say 'Starting RabbitMQ'
    pgrep -x epmd > /dev/null || touch "$RUN/epmd.started"
    touch "$RABBIT_STARTED"
    if systemd_runs; then
        must 'systemctl start rabbitmq-server' rabbitmq systemctl start rabbitmq-server
    else
        must 'rabbitmq-server' rabbitmq with_loopback rabbitmq-server -detached
    fi
    wait_until 90 port_open 5672 ||
        fail "RabbitMQ does not listen on port 5672: see /var/log/rabbitmq and $LOGS/rabbitmq.log"
    must 'waiting for RabbitMQ' rabbitmq ctl await_startup
}

# with_loopback COMMAND...: with the settings of a node that nobody outside this machine reaches.
with_loopback() {
    env RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_DIST_PORT=25679 \
        ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' "$@"
}

# ctl WORD...: rabbitmqctl at the node that runs here: one that a script of ours started, or the machine's own.
ctl() {
    local node=()
    if node_of_ours; then node=(-n rabbit@localhost); fi
    rabbitmqctl -q "${node[@]}" "$@"
}

node_of_ours() {
    local pid
    for pid in $(pgrep -x beam.smp); do
        if tr '\0' '\n' 2> /dev/null < "/proc/$pid/environ" | grep -qx 'RABBITMQ_NODENAME=rabbit@localhost'; then
            return 0
        fi
    done
    return 1
}

# broker_login: whether our user can log in; asked of the broker itself, because rabbitmqctl is slow.
broker_login() {
    "$VENV/bin/python" -c '
import sys, kombu
with kombu.Connection(sys.argv[1].replace("rabbit://", "amqp://"), connect_timeout=5) as connection:
    connection.ensure_connection(max_retries=1, timeout=5)' "$(transport_url)" > /dev/null 2>&1
}

prepare_broker() {
    if broker_login; then
        return 0
    fi
    [ -z "${MINICOMPUTE_TRANSPORT_URL:-}" ] || fail 'MINICOMPUTE_TRANSPORT_URL: no login there; is the broker up, are user and vhost right?'
    note "making user and virtual host $BROKER_USER"
    logged rabbitmq ctl add_vhost "$BROKER_USER" || true
    logged rabbitmq with_password add_user || must 'rabbitmqctl change_password' rabbitmq with_password change_password
    must 'rabbitmqctl set_permissions' rabbitmq ctl set_permissions -p "$BROKER_USER" "$BROKER_USER" '.*' '.*' '.*'
    broker_login || fail "what listens on port 5672 refuses our login: is it a RabbitMQ that rabbitmqctl reaches? See $LOGS/rabbitmq.log, or set MINICOMPUTE_TRANSPORT_URL"
}

# with_password VERB: on standard input, so that neither ps nor a log shows it.
with_password() { secret "$RUN/rabbitmq.password" | ctl "$1" "$BROKER_USER"; }

# stop_rabbitmq: forget our user and virtual host; stop it if we started it and nobody else uses it.
stop_rabbitmq() {
    [ -z "${MINICOMPUTE_TRANSPORT_URL:-}" ] || return 0
    if command -v rabbitmqctl > /dev/null && port_open 5672; then
        logged rabbitmq ctl delete_vhost "$BROKER_USER" || true
        logged rabbitmq ctl delete_user "$BROKER_USER" || true
        if [ -e "$RABBIT_STARTED" ]; then
            stop_started_rabbitmq
        fi
    fi
    rm -f "$RABBIT_STARTED" "$RUN/epmd.started"
}

stop_started_rabbitmq() {
    if [ -n "$(ctl list_connections pid 2> /dev/null | grep -v '^pid$')" ]; then
        note 'RabbitMQ is left running: others are connected to it'
        return 0
    fi
    say 'Stopping RabbitMQ'
    if systemd_runs; then
        logged rabbitmq systemctl stop rabbitmq-server
    else
        logged rabbitmq ctl shutdown || warn "RabbitMQ does not stop: see $LOGS/rabbitmq.log"
    fi
    # epmd refuses to go while it serves another node, which is as it should be.
    [ ! -e "$RUN/epmd.started" ] || logged rabbitmq epmd -kill || true
}
