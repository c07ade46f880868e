"""The outbox: what is closed beside the first put, and whom it reaches."""
from __future__ import annotations

import threading
from typing import Any

from minicompute import rpc


def test_a_close_beside_the_first_put_waits_for_the_thread(monkeypatch: Any) -> None:
    """It joined a thread that was not started yet, and the daemon did not end what it had to."""
    sent: list[Any] = []
    errors: list[BaseException] = []
    outbox = rpc.Outbox()
    monkeypatch.setattr(outbox, '_send', lambda *words: sent.append(words))

    def close() -> None:
        try:
            outbox.close()
        except BaseException as error:
            errors.append(error)

    closing = threading.Thread(target=close)
    start = threading.Thread.start

    def start_late(thread: threading.Thread) -> None:
        if thread.name == 'outbox':
            start(closing)
            closing.join(0.2)    # as far as it comes while the outbox's thread is made, but does not run
        start(thread)
    monkeypatch.setattr(threading.Thread, 'start', start_late)
    outbox.put('topic', 'method', 1)
    closing.join(60)
    outbox.close()
    assert errors == [] and sent == [('topic', None, 'method', [1])]


def test_what_is_for_all_goes_to_all(monkeypatch: Any) -> None:
    casts: list[dict[str, Any]] = []
    monkeypatch.setattr(rpc.Client, 'cast', lambda self, context, method, **words: casts.append(words))
    outbox = rpc.Outbox()
    outbox.put('topic', 'method', 1, server=rpc.ALL)
    outbox.put('topic', 'method', 2, server='one')
    outbox.close()
    assert casts == [{'fanout': True, 'items': [1]}, {'server': 'one', 'items': [2]}]
