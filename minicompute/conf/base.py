"""What every daemon reads."""
import socket

from oslo_config import cfg

OPTIONS = {'DEFAULT': [
    cfg.StrOpt('host', default=socket.gethostname(), sample_default='<hostname>', regex=r'^[A-Za-z0-9._-]{1,255}$',
               help='Name of this daemon in messages and records. Two computes must not share it.'),
    cfg.StrOpt('my_block_storage_ip',
               help='(compute) Address of this host for volume services; my_ip when it is not set.'),
    cfg.StrOpt('my_ip', default='127.0.0.1',
               help='Address of this host on the management network.'),
    cfg.StrOpt('state_path', default='/var/lib/minicompute',
               help='Where a daemon keeps what must outlive it (instances, fences, images).'),
    cfg.StrOpt('concurrency_backend', default='threading', choices=['threading', 'eventlet'],
               help='Native threads, or eventlet. MINICOMPUTE_CONCURRENCY in the environment wins.'),
    cfg.IntOpt('report_interval', default=10, min=1,
               help='Seconds between two heartbeats of a daemon.'),
    cfg.IntOpt('service_down_time', default=60, min=2,
               help='A daemon that has not reported for so many seconds is down.'),
    cfg.IntOpt('graceful_shutdown_timeout', default=4, min=0,
               help='Seconds that a daemon gives its work after SIGTERM before it leaves.'),
]}
