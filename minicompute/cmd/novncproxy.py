"""minicompute-novncproxy: a viewer in a browser reaches the VNC consoles of guests."""
from minicompute import concurrency

concurrency.setup()

import sys

from minicompute import conf, exception
from minicompute.conf import CONF
from minicompute.console import rfb
from minicompute.console.daemon import serve
from minicompute.console.gate import Gate

PROG = 'minicompute-novncproxy'


def main(argv: list[str] | None = None) -> int:
    conf.setup(sys.argv[1:] if argv is None else argv, PROG)
    conf.setup_logging(PROG)
    try:
        serve(PROG, (CONF.vnc.novncproxy_host, CONF.vnc.novncproxy_port), Gate('vnc', 'novnc'), '/usr/share/novnc',
              rfb.context() if rfb.wanted() else None)
    except exception.ConfigurationError as error:
        raise SystemExit(f'{PROG}: {error}') from None
    return 0


if __name__ == '__main__':
    sys.exit(main())
