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
    'notifications': [
        cfg.StrOpt('notification_format', default='versioned', choices=['versioned', 'both', 'unversioned'],
                   help='Which notifications are sent where [oslo_messaging_notifications] driver says that some are. '
                        'The unversioned ones of old are not: `both` is the same as `versioned`, and `unversioned` '
                        'sends nothing.'),
        cfg.ListOpt('versioned_notifications_topics', default=['versioned_notifications'],
                    help='Topics to each of which every notification is sent.'),
        cfg.StrOpt('notify_on_state_change', choices=['vm_state', 'vm_and_task_state'],
                   help='Send instance.update for changes of servers too: of the vm_state, or of both states, and of '
                        'what else a user sees of them. Not set: none.'),
        cfg.StrOpt('default_level', default='INFO', choices=['DEBUG', 'INFO', 'WARN', 'ERROR', 'CRITICAL'],
                   help='Priority of all notifications but those of failures, which are errors.'),
        cfg.BoolOpt('bdms_in_notifications', default=False, help='Tell the volumes of a server with it.'),
        cfg.BoolOpt('include_share_mapping', default=False,
                    help='Tell the shares of a server with it: an empty list, as no server has any.'),
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
