"""minicompute-compute: runs servers on this host; it reports to the conductor and has no database."""
from minicompute import concurrency

concurrency.setup()

import sys

from minicompute import conf, exception, rpc, service
from minicompute.compute.manager.manager import ComputeManager
from minicompute.objects import Binary

PROG = 'minicompute-compute'


def main(argv: list[str] | None = None) -> int:
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    try:
        service.Service(Binary.COMPUTE, rpc.COMPUTE, ComputeManager(), database=False).run()
    except exception.ConfigurationError as error:
        raise SystemExit(f'{PROG}: {error}') from None
    return 0


if __name__ == '__main__':
    sys.exit(main())
