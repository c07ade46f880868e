"""minicompute-conductor: runs the flows, and is the database's door for the computes."""
from minicompute import concurrency

concurrency.setup()

import sys

from minicompute import conf, exception, rpc, service
from minicompute.conductor.greeting import Greeting
from minicompute.conductor.manager import ConductorManager
from minicompute.conf import CONF
from minicompute.image import base as image
from minicompute.network import base as network
from minicompute.objects import Binary
from minicompute.volume import base as volume

PROG = 'minicompute-conductor'


def main(argv: list[str] | None = None) -> int:
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    try:
        if CONF.image_backend != 'local':
            image.load()
        if CONF.network_backend != 'local':
            network.load().check()
        if CONF.volume_backend != 'local':
            volume.load().check()
            Greeting(volume.load().greet).start()
        service.Service(Binary.CONDUCTOR, rpc.CONDUCTOR, ConductorManager()).run()
    except exception.ConfigurationError as error:
        raise SystemExit(f'{PROG}: {error}') from None
    return 0


if __name__ == '__main__':
    sys.exit(main())
