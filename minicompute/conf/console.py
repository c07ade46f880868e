"""Consoles: what guests get, the tokens, and the proxies. Names as in Nova."""
from oslo_config import cfg

OPTIONS = {
    'DEFAULT': [
        cfg.StrOpt('web', help='Directory of the page that a console proxy serves. Default: /usr/share/novnc for VNC, '
                               'none for serial consoles.'),
        cfg.StrOpt('cert', help='Certificate of the console proxies, which then speak TLS.'),
        cfg.StrOpt('key', help='Its private key, where `cert` does not hold it.'),
        cfg.BoolOpt('ssl_only', default=False, help='The console proxies refuse to start without `cert`.'),
    ],
    'console': [
        cfg.ListOpt('allowed_origins', default=[],
                    help='Hosts whose pages may open consoles, besides that of the proxy itself.'),
        cfg.IntOpt('max_sessions', default=1000, min=1, help='Consoles that one proxy shows at a time.'),
        cfg.IntOpt('max_connections_per_address', default=25, min=0,
                   help='Connections that one address (of IPv6: one /64) may have at a console proxy before it has '
                        'shown a good token. 0: no bound, for a proxy that stands behind another.'),
    ],
    'consoleauth': [
        cfg.IntOpt('token_ttl', default=600, min=1, help='Seconds that the URL of a console is good for.'),
        cfg.BoolOpt('enforce_session_timeout', default=False,
                    help='A console that is shown ends when its URL would have expired.'),
    ],
    'vnc': [
        cfg.BoolOpt('enabled', default=True, help='Give guests a VNC console.'),
        cfg.StrOpt('server_listen', default='127.0.0.1',
                   help='Address that the VNC consoles listen on. They ask for no password: nobody but the proxies '
                        'may reach it.'),
        cfg.StrOpt('server_proxyclient_address', default='127.0.0.1', help='Address by which the proxy reaches them.'),
        cfg.StrOpt('novncproxy_base_url', default='http://127.0.0.1:6080/vnc_auto.html',
                   help='(computes) The page of minicompute-novncproxy as users reach it.'),
        cfg.StrOpt('novncproxy_host', default='127.0.0.1', help='Address that minicompute-novncproxy listens on.'),
        cfg.PortOpt('novncproxy_port', default=6080, help='Port that minicompute-novncproxy listens on.'),
        cfg.ListOpt('auth_schemes', default=['none'], item_type=cfg.types.String(choices=['none', 'vencrypt']),
                    help='How minicompute-novncproxy speaks to the VNC servers of guests: vencrypt (TLS; QEMU needs '
                         'vnc_tls), none, or both: encrypted where it can be.'),
        cfg.StrOpt('vencrypt_ca_certs', help='The authority that signs the certificates of the VNC servers.'),
        cfg.StrOpt('vencrypt_client_cert', help='The certificate that the proxy shows them.'),
        cfg.StrOpt('vencrypt_client_key', help='Its private key, where the certificate file does not hold it.'),
    ],
    'spice': [
        cfg.BoolOpt('enabled', default=False, help='Give guests a SPICE console.'),
        cfg.BoolOpt('agent_enabled', default=True, help='Give guests the channel of the SPICE agent.'),
        cfg.StrOpt('server_listen', default='127.0.0.1', help='Address that the SPICE consoles listen on.'),
        cfg.StrOpt('server_proxyclient_address', default='127.0.0.1', help='Address by which a proxy reaches them.'),
        cfg.StrOpt('html5proxy_base_url', default='http://127.0.0.1:6082/spice_auto.html',
                   help='(computes) The page of an HTML5 SPICE client as users reach it.'),
        cfg.StrOpt('html5proxy_host', default='127.0.0.1', help='Address that minicompute-spicehtml5proxy listens on.'),
        cfg.PortOpt('html5proxy_port', default=6082, help='Port that minicompute-spicehtml5proxy listens on.'),
        cfg.StrOpt('spice_direct_proxy_base_url', default='http://127.0.0.1:13002/nova',
                   help='(computes) A proxy for native SPICE clients; it asks os-console-auth-tokens.'),
        cfg.BoolOpt('require_secure', default=False, help='SPICE consoles take only TLS.'),
    ],
    'serial_console': [
        cfg.IntOpt('log_max_bytes', default=102400, min=1024, help='Most bytes of console output in one answer.'),
        cfg.BoolOpt('enabled', default=False,
                    help='Give guests a serial console that users can type into. Guests get it at their next start.'),
        cfg.StrOpt('port_range', default='10000:20000', regex=r'^[0-9]{1,5}:[0-9]{1,5}$',
                   help='Ports of a host for serial consoles, first:last, the last not included.'),
        cfg.StrOpt('proxyclient_address', default='127.0.0.1',
                   help='Address of this host that serial consoles listen on, and by which the proxy reaches them.'),
        cfg.StrOpt('base_url', default='ws://127.0.0.1:6083/',
                   help='(computes) minicompute-serialproxy as users reach it.'),
        cfg.StrOpt('serialproxy_host', default='127.0.0.1', help='Address that minicompute-serialproxy listens on.'),
        cfg.PortOpt('serialproxy_port', default=6083, help='Port that minicompute-serialproxy listens on.'),
    ],
}
