"""minicompute-scheduler: finds hosts for servers, and claims them."""
from minicompute import concurrency

concurrency.setup()

import sys

from minicompute import conf, exception, rpc, service
from minicompute.objects import Binary
from minicompute.scheduler.manager import SchedulerManager

PROG = 'minicompute-scheduler'


def main(argv: list[str] | None = None) -> int:
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    try:
        service.Service(Binary.SCHEDULER, rpc.SCHEDULER, SchedulerManager()).run()
    except exception.ConfigurationError as error:
        raise SystemExit(f'{PROG}: {error}') from None
    return 0


if __name__ == '__main__':
    sys.exit(main())
