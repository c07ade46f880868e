"""The api daemon."""
from oslo_config import cfg

OPTIONS = {
    'DEFAULT': [
        cfg.StrOpt('osapi_compute_listen', default='127.0.0.1', help='Address that the API listens on.'),
        cfg.PortOpt('osapi_compute_listen_port', default=8774, help='Port that the API listens on.'),
        cfg.IntOpt('osapi_compute_workers', default=2, min=1, help='API processes behind the one socket.'),
        cfg.IntOpt('osapi_compute_threads', default=8, min=1, help='Threads in each API process.'),
        cfg.BoolOpt('enable_instance_password', default=True,
                    help='Return adminPass in the answer of a create.'),
        cfg.StrOpt('default_availability_zone', default='nova',
                   help='Zone of the hosts that are in no aggregate with a zone.'),
        cfg.StrOpt('internal_service_availability_zone', default='internal',
                   help='Zone that services other than compute are shown in.'),
        cfg.StrOpt('default_schedule_zone',
                   help='Zone of a server whose request names none. Unset: any zone.'),
        cfg.IntOpt('password_length', default=12, min=8, help='Length of a generated admin password.'),
        cfg.StrOpt('dhcp_domain', default='novalocal', help='Domain that completes the host names of guests.'),
    ],
    'api': [
        cfg.StrOpt('auth_strategy', default='keystone', choices=['keystone', 'noauth2'],
                   help='keystone, or noauth2 in which the caller says who it is (loopback only).'),
        cfg.BoolOpt('allow_noauth2_anywhere', default=False,
                    help='Serve noauth2 also on an address that is not loopback. Everybody who reaches it is '
                         'the operator.'),
        cfg.IntOpt('max_limit', default=1000, min=1, help='Most rows in one page of a list.'),
        cfg.StrOpt('compute_link_prefix', help='Public base of the links in answers, when a proxy stands before us.'),
        cfg.StrOpt('glance_link_prefix', help='Public base of the links to images in answers.'),
        cfg.IntOpt('max_request_body_size', default=114688, min=1024,
                   help='Largest request body of the Compute API, in bytes.'),
        cfg.IntOpt('max_idempotency_keys', default=10000, min=-1,
                   help='Keys of repeatable requests (Idempotency-Key) that are kept for one project; each is kept for '
                        '24 hours, and a request with one more gets 429. -1: no bound.'),
        cfg.StrOpt('response_validation', default='ignore', choices=['error', 'warn', 'ignore'],
                   help='What becomes of an answer that is not as its schema says, or of a fault that its handler '
                        'did not declare: it is sent (ignore), it is sent and logged (warn), or the request fails '
                        'with 500 (error). A mistake of ours in either case; looking for it costs time in each '
                        'request.'),
        cfg.BoolOpt('enable_proxy_headers_parsing', default=False,
                    help='Believe X-Forwarded-* headers: only behind a proxy that sets them.'),
        cfg.StrOpt('paste_config', default='api-paste.ini',
                   help='The file that says how the WSGI stack is put together.'),
    ],
}
