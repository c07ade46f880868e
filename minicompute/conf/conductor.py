"""The conductor and its flow engine."""
from oslo_config import cfg

OPTIONS = {'DEFAULT': [
    cfg.BoolOpt('instance_usage_audit', default=False,
                help='Write down after each period how many servers each host had in it.'),
    cfg.StrOpt('instance_usage_audit_period', default='month', regex='^(hour|month|day|year)(@([0-9]+))?$',
               help='hour, day, month or year, and behind an @ where in it one begins: month@15, day@18.'),
], 'conductor': [
    cfg.IntOpt('workers', default=8, min=1, help='Threads that run steps of flows.'),
    cfg.IntOpt('batch', default=64, min=1, help='Actions that one thread advances in one transaction.'),
    cfg.FloatOpt('lease', default=10.0, min=2, help='Seconds that a claim of an action lasts without renewal.'),
    cfg.FloatOpt('renew_interval', default=3.0, min=0.5, help='Seconds between two renewals of the claims.'),
    cfg.FloatOpt('sweep_interval', default=5.0, min=0.2,
                 help='Seconds between two looks for actions that no bell announced.'),
    cfg.FloatOpt('ask_again', default=15.0, min=1,
                 help='A compute that has not answered for so many seconds is asked for the step again; '
                      'one that works on it just goes on.'),
    cfg.IntOpt('build_deadline', default=1800, min=10, help='Seconds that a build on a host may take.'),
    cfg.IntOpt('step_deadline', default=300, min=5, help='Seconds that any other step on a host may take.'),
    cfg.IntOpt('move_deadline', default=14400, min=10,
               help='Seconds that the disks of a server may take to another host.'),
    cfg.IntOpt('image_deadline', default=14400, min=10,
               help='Seconds that the copy of a disk into an image, or of an image to a host, may take.'),
    cfg.IntOpt('stuck_after', default=10, min=1,
               help='A step behind the point of no return that fails so often waits for the operator.'),
]}
