"""Versioned notifications in Nova's format, over oslo.messaging: docs/notifications.md.

    start() / stop()    by each daemon that writes to the database; with the driver unset or `noop` they do nothing,
                        and nothing of this package is loaded
    listener.py         what transactions changed (db/watch.py) -> messages, in the transaction
    stories.py          which events the actions have: a table
    payloads.py         the fields
    sender.py           a bounded queue, a thread, oslo.messaging

At most once, after the commit: what was committed and not yet sent dies with its daemon. Who must miss nothing follows
`/minicompute/v1/events`, which are records.
"""
from __future__ import annotations

import threading
from typing import Any

from oslo_log import log as logging

from minicompute.conf import CONF
from minicompute.db import watch

LOG = logging.getLogger(__name__)

_lock = threading.Lock()
_sender: Any = None


def wanted() -> bool:
    """Whether [oslo_messaging_notifications] driver names one that sends."""
    from oslo_messaging.notify import notifier  # it is there already: oslo_messaging loads it

    CONF.register_opts(notifier._notifier_opts, group='oslo_messaging_notifications')
    return any(name not in ('', 'noop') for name in CONF.oslo_messaging_notifications.driver)


def start() -> None:
    """Listen to this process's transactions, if somebody is to be told of them. Nothing connects yet."""
    global _sender
    if not wanted():
        return
    if CONF.notifications.notification_format == 'unversioned':
        LOG.warning('[notifications] notification_format is unversioned: those are not sent, so that nothing is')
        return
    with _lock:
        if _sender is None:
            from minicompute.notifications.listener import Listener
            from minicompute.notifications.sender import Sender

            _sender = Sender()
            watch.listener = Listener(_sender.put)


def stop() -> None:
    """Send what waits, for a moment."""
    global _sender
    with _lock:
        sender, _sender, watch.listener = _sender, None, None
    if sender is not None:
        sender.close()
