# shellcheck shell=bash
# A RabbitMQ node for one stack alone: own name, ports, records and logs. Who sources this says BROKER_PORT, and
# if he wants: BROKER_ADDRESS (loopback), BROKER_DIST_PORT (the next port, on loopback in any case), BROKER_NODE
# (its name) and BROKER_LOGIN (guest, whom RabbitMQ lets in from loopback only; any other gets a secret password).

BROKER_ADDRESS="${BROKER_ADDRESS:-127.0.0.1}"
BROKER_DIST_PORT="${BROKER_DIST_PORT:-$((BROKER_PORT + 1))}"
BROKER_NODE="${BROKER_NODE:-minicompute-bench-$BROKER_PORT}"
BROKER_LOGIN="${BROKER_LOGIN:-guest}"
BROKER_DIR="$RUN/rabbitmq"
RABBIT_BIN=/usr/lib/rabbitmq/bin

broker_url() { printf 'rabbit://%s:%s@%s:%s/' "$BROKER_LOGIN" "$(broker_password)" "$BROKER_ADDRESS" "$BROKER_PORT"; }

broker_password() { if [ "$BROKER_LOGIN" = guest ]; then echo guest; else secret "$RUN/broker.password"; fi; }

broker_listens() { port_open "$BROKER_PORT" "$BROKER_ADDRESS"; }

# with_node COMMAND...: in the environment of this node, and in nothing else.
with_node() {
    env -i PATH="$PATH" HOME="$BROKER_DIR" LANG=C.UTF-8 RABBITMQ_NODENAME="$BROKER_NODE@localhost" \
        RABBITMQ_NODE_IP_ADDRESS="$BROKER_ADDRESS" RABBITMQ_NODE_PORT="$BROKER_PORT" \
        RABBITMQ_DIST_PORT="$BROKER_DIST_PORT" RABBITMQ_MNESIA_BASE="$BROKER_DIR/mnesia" \
        RABBITMQ_LOG_BASE="$BROKER_DIR/log" RABBITMQ_CONFIG_FILE="$BROKER_DIR/rabbitmq.conf" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$BROKER_DIR/plugins" RABBITMQ_CONF_ENV_FILE=/dev/null \
        RABBITMQ_PID_FILE="$BROKER_DIR/node.pid" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' "$@"
}

broker_settings() {
    printf 'log.console = false\ndisk_free_limit.absolute = 100MB\n'
    [ "$BROKER_LOGIN" = guest ] ||
        printf 'default_user = %s\ndefault_pass = %s\n' "$BROKER_LOGIN" "$(broker_password)"
}

start_broker() {
    if alive "$PIDS/rabbitmq.pid" && broker_listens; then return 0; fi
    ! broker_listens || fail "something else listens on port $BROKER_PORT of $BROKER_ADDRESS: stop it, or choose other ports; see $0 --help"
    say "Starting RabbitMQ on port $BROKER_PORT"
    mkdir -p "$BROKER_DIR/log"
    broker_settings | (umask 077 && cat > "$BROKER_DIR/rabbitmq.conf")
    : > "$BROKER_DIR/plugins"
    pgrep -x epmd > /dev/null || touch "$RUN/epmd.started"
    rm -f "$PIDS/rabbitmq.pid" "$BROKER_DIR/node.pid"
    # The node itself says which process it is: what is started here is a shell around it.
    with_node start-stop-daemon --start --quiet --background --pidfile "$BROKER_DIR/none.pid" --output "$LOGS/rabbitmq.log" \
        --startas "$RABBIT_BIN/rabbitmq-server"
    wait_until 90 broker_listens || fail "RabbitMQ does not listen: see $LOGS/rabbitmq.log and $BROKER_DIR/log"
    wait_until 10 alive "$BROKER_DIR/node.pid" || fail "RabbitMQ did not say which process it is"
    # A copy: the node removes its file before it ends.
    cp "$BROKER_DIR/node.pid" "$PIDS/rabbitmq.pid"
}

# broker_messages: how many it has taken from publishers since it started.
broker_messages() {
    with_node "$RABBIT_BIN/rabbitmqctl" eval \
        'maps:fold(fun(_, C, S) -> S + maps:get(messages_received_total, C, 0) end, 0, rabbit_global_counters:overview()).'
}

stop_broker() {
    end_process "$PIDS/rabbitmq.pid" 30
    [ -e "$RUN/epmd.started" ] || return 0
    # epmd refuses to go while it serves another node, which is as it should be.
    wait_until 5 not broker_listens || true
    logged rabbitmq epmd -kill || true
    rm -f "$RUN/epmd.started"
}
