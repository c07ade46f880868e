#!/bin/sh
# Run for every kernel event, which is in the environment: drivers for devices that arrive, and network cards.
. /lib/guest/lib.sh
. /lib/guest/network.sh

[ "${ACTION:-}" = add ] || [ "${ACTION:-}" = remove ] || exit 0
[ "$ACTION" = add ] && [ -n "${MODALIAS:-}" ] && modprobe -q "$MODALIAS" 2>/dev/null

case "${SUBSYSTEM:-}:${DEVTYPE:-}" in
    net:*)
        # Cards that were there at boot are setup.sh's; those which arrive before it is done, too.
        [ -f "$STATE/ready" ] && [ -n "${INTERFACE:-}" ] || exit 0
        say "hotplug $ACTION $INTERFACE"
        [ "$ACTION" = add ] && configure_nic "$INTERFACE"
        ;;
    block:disk)
        [ -f "$STATE/ready" ] && say "hotplug $ACTION ${DEVNAME##*/}"
        ;;
esac
exit 0
