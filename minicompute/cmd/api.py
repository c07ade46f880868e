"""minicompute-api: the Compute API."""
import gc

# What a collection frees before the fork are holes that each worker fills by itself, a copied page for each: none
# until then (the documentation of gc.freeze).
gc.disable()

from minicompute import concurrency

concurrency.setup()

import ipaddress
import sys

from minicompute import conf, exception, notifications, policy, rpc
from minicompute.api.measured import measured
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.image import base as image
from minicompute.network import base as network
from minicompute.volume import base as volume
from minicompute.wsgi import paste, server

PROG = 'minicompute-api'


def main(argv: list[str] | None = None) -> int:
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    try:
        refuse_open_noauth()
        application = measured(paste.load())
        notifications.start()
        preload()
    except exception.ConfigurationError as error:
        raise SystemExit(f'{PROG}: {error}') from None
    server.Server(PROG, CONF.osapi_compute_listen, CONF.osapi_compute_listen_port,
                  load=lambda: application, after_fork=after_fork, before_exit=before_exit,
                  also=[(CONF.metrics.listen, CONF.metrics.api_port)] if CONF.metrics.api_port else []).run()
    return 0


def preload() -> None:
    """What loads when it is first used: here all workers share it. No connection is left."""
    policy.preload()
    if CONF.image_backend != 'local':
        image.load()
    if CONF.network_backend != 'local':
        network.load().check()
    if CONF.volume_backend != 'local':
        volume.load().check()
    session.engines()
    rpc.transport()
    rpc.cleanup()


def refuse_open_noauth() -> None:
    """Under noauth2 whoever reaches the socket is the operator."""
    listen = CONF.osapi_compute_listen
    if CONF.api.auth_strategy != 'noauth2' or CONF.api.allow_noauth2_anywhere or is_loopback(listen):
        return
    raise exception.ConfigurationError(
        reason=f'[api] auth_strategy is noauth2 and osapi_compute_listen is {listen}: everybody who reaches that '
               'address would be the operator. Listen on 127.0.0.1, use keystone, or set '
               '[api] allow_noauth2_anywhere')


def is_loopback(address: str) -> bool:
    if address == 'localhost':
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def after_fork() -> None:
    """A worker has its own connections; what the master made before the fork stays the master's."""
    gc.enable()
    concurrency.after_fork()
    session.after_fork()


def before_exit() -> None:
    rpc.outbox.close()
    notifications.stop()


if __name__ == '__main__':
    sys.exit(main())
