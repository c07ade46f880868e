"""What guests are told about themselves: the metadata API and config drives. Names as in Nova."""
from oslo_config import cfg

OPTIONS = {
    'DEFAULT': [
        cfg.StrOpt('metadata_listen', default='127.0.0.1',
                   help='Address that the metadata API listens on. Guests do not reach it themselves: the computes '
                        '(local networks) and the agents of Neutron do.'),
        cfg.PortOpt('metadata_listen_port', default=8775, help='Port that the metadata API listens on.'),
        cfg.IntOpt('metadata_workers', default=1, min=1, help='Metadata API processes behind the one socket.'),
    ],
    'api': [
        cfg.IntOpt('metadata_cache_expiration', default=15, min=0,
                   help='Seconds for which the metadata API answers from what it has read. 0: it always reads.'),
        cfg.FloatOpt('metadata_rate_limit', default=50.0, min=0,
                     help='Requests a second of one server that each metadata API process answers. 0: no bound.'),
        cfg.ListOpt('vendordata_providers', default=['StaticJSON'],
                    help='StaticJSON (a file), DynamicJSON (services are asked), or both. Computes read these, too, '
                         'for config drives.'),
        cfg.StrOpt('vendordata_jsonfile_path', help='The file of StaticJSON.'),
        cfg.ListOpt('vendordata_dynamic_targets', default=[],
                    help='The services of DynamicJSON, as name@url; [vendordata_dynamic_auth] says as whom they are '
                         'asked.'),
        cfg.StrOpt('vendordata_dynamic_ssl_certfile', default='', help='Certificates that their TLS is checked with.'),
        cfg.IntOpt('vendordata_dynamic_connect_timeout', default=5, min=1, help='Seconds to reach one of them.'),
        cfg.IntOpt('vendordata_dynamic_read_timeout', default=5, min=1, help='Seconds until it has to answer.'),
        cfg.BoolOpt('vendordata_dynamic_failure_fatal', default=False,
                    help='One that fails fails the build, and the request of the guest.'),
    ],
    'neutron': [
        cfg.BoolOpt('service_metadata_proxy', default=False,
                    help='The metadata API answers requests that are signed with metadata_proxy_shared_secret: those '
                         'of Neutron, and of computes with local networks. Without it, it answers nobody.'),
        cfg.StrOpt('metadata_proxy_shared_secret', default='', secret=True,
                   help='Who knows it may ask the metadata API about any server.'),
    ],
    'local_networks': [
        cfg.StrOpt('metadata_url',
                   help='(computes) The metadata API, such as http://10.0.0.1:8775, to which they pass what guests of '
                        'NAT networks ask 169.254.169.254. Needs [neutron] metadata_proxy_shared_secret. Unset: nobody '
                        'answers.'),
    ],
}
