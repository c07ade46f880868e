"""What stands beside Nova's contract: events, and what daemons measure."""
from oslo_config import cfg

OPTIONS = {
    'events': [
        cfg.IntOpt('keep_hours', default=24, min=0,
                   help='Hours for which events of servers can be read again. 0: none are written, and nobody can '
                        'follow or wait for a server.'),
        cfg.IntOpt('followers', default=400, min=1,
                   help='Followers of events, and requests that wait for a server, of one API process; a quarter of '
                        'them can be of one project. Each holds a connection, and no thread.'),
    ],
    'metrics': [
        cfg.StrOpt('listen', default='127.0.0.1',
                   help='Address on which /metrics and /healthcheck of the daemons are served, to anybody who asks.'),
        cfg.PortOpt('api_port', default=0, help='Port of the API daemon for it. 0: none.'),
        cfg.PortOpt('conductor_port', default=0, help='Port of the conductor for it. 0: none.'),
        cfg.PortOpt('scheduler_port', default=0, help='Port of the scheduler for it. 0: none.'),
        cfg.PortOpt('compute_port', default=0, help='Port of the compute for it. 0: none.'),
    ],
}
