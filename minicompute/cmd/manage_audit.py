"""What `minicompute-manage audit` asks the hosts: what lies there, and what of it the records know otherwise.

Nothing is mended here: hosts and conductors do that all the time.
"""
from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

import oslo_messaging as messaging

from minicompute import rpc, servicegroup
from minicompute.compute.rpcapi import ComputeAPI
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import audit, audit_hosts, services
from minicompute.db.api.audit import Finding
from minicompute.db.api.audit_hosts import Told

#: hosts that are asked at a time
THREADS = 32


def look(patience: float) -> tuple[list[Finding], list[str]]:
    """-> what is wrong on hosts, a host that is up and does not answer within `patience` seconds among it; and the
    hosts that were not asked, as they are down."""
    with session.read() as conn:
        now = session.now(conn)
        computes = {s.host: servicegroup.is_up(s, now)
                    for s in services.every(conn, binary=servicegroup.COMPUTE)}
    told, silent = ask([host for host, up in computes.items() if up], patience)
    found = [Finding('host without an answer', host, f'what lies there is not known: {why}', safe=False)
             for host, why in sorted(silent.items())]
    with session.read() as conn:
        compared = audit.compare(conn, {host: one.uuids for host, one in told.items()})
        found += audit_hosts.broken(conn, told) + audit.unrecorded(compared)
    for host, homes in sorted(compared.strangers.items()):
        found += [Finding('server of another place', uuid, f'{host} has something of it, and it '
                          + (f'lives on {home}' if home else 'is not there'), host) for uuid, home in homes.items()]
    return found, sorted(host for host, up in computes.items() if not up)


def ask(hosts: Sequence[str], patience: float) -> tuple[dict[str, Told], dict[str, str]]:
    """All at once, more or less. -> what they said, and {host: why not}"""
    end, left = time.monotonic() + patience, queue.SimpleQueue[str]()
    told: dict[str, Told] = {}
    silent = dict.fromkeys(hosts, f'no answer within {patience:g} s')
    for host in hosts:
        left.put(host)

    def work() -> None:
        api = ComputeAPI()
        while True:
            try:
                host = left.get_nowait()
                said = api.holdings(admin_context(), host, max(0.1, end - time.monotonic()))
                told[host] = Told(said['uuids'], said['undefined'], said['diskless'])
            except queue.Empty:
                return
            except messaging.MessagingTimeout:
                continue
            except (messaging.MessagingException, messaging.RemoteError) as error:
                silent[host] = ' '.join(str(error).split())[:200]
    # Whoever waits for a broker that is away must not keep us from ending.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(THREADS, len(hosts)))]
    if threads:
        rpc.transport()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end + 1 - time.monotonic()))
    heard = dict(told)      # a thread may still be waiting
    return heard, {host: why for host, why in silent.items() if host not in heard}
