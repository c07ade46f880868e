# shellcheck shell=sh
# user_data: a script is run, anything else is named and left alone.

run_user_data() {
    file="$STATE/user_data_file"
    if [ ! -s "$file" ]; then
        set_state user_data none
    elif [ "$(head -c 2 "$file")" = '#!' ]; then
        chmod 700 "$file"
        set_state user_data running
        # Its own process, because it may take for ever; nothing waits for it.
        (
            cd /root || exit
            setsid "$file" </dev/null >/dev/console 2>&1
            code=$?
            set_state user_data "exit-$code"
            say "user_data exit=$code"
        ) &
    else
        set_state user_data ignored
        say "ignored user_data: $(head -n 1 "$file" | head -c 64 | plain) is not a script"
    fi
}
