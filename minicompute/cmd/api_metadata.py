"""minicompute-api-metadata: tells guests about themselves."""
import gc

# As in minicompute-api: no holes in the pages that workers share.
gc.disable()

from minicompute import concurrency

concurrency.setup()

import sys

from minicompute import conf, exception
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.wsgi import paste, server

PROG = 'minicompute-api-metadata'


def main(argv: list[str] | None = None) -> int:
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    try:
        application = paste.load('metadata')
        session.engines()
    except exception.ConfigurationError as error:
        raise SystemExit(f'{PROG}: {error}') from None
    server.Server(PROG, CONF.metadata_listen, CONF.metadata_listen_port, load=lambda: application,
                  after_fork=after_fork, before_exit=lambda: None, workers=CONF.metadata_workers).run()
    return 0


def after_fork() -> None:
    gc.enable()
    concurrency.after_fork()
    session.after_fork()


if __name__ == '__main__':
    sys.exit(main())
