"""Images, networks and volumes: which backend, and the local ones' settings."""
from oslo_config import cfg

OPTIONS = {
    'DEFAULT': [
        cfg.StrOpt('image_backend', default='local', help='Entry point in minicompute.image.backends.'),
        cfg.StrOpt('network_backend', default='local', help='Entry point in minicompute.network.backends.'),
        cfg.StrOpt('volume_backend', default='local', help='Entry point in minicompute.volume.backends.'),
        cfg.IntOpt('block_device_allocate_retries', default=60, min=0,
                   help='(conductor) How often a volume service is asked whether a volume is made that a new server '
                        'waits for, before the build fails.'),
        cfg.FloatOpt('block_device_allocate_retries_interval', default=3, min=0,
                   help='(conductor) Seconds between two such questions.'),
        cfg.IntOpt('reimage_timeout_per_gb', default=20, min=1,
                   help='(conductor) Seconds for each GiB of an image that a volume service may take to write it over '
                        'the root volume of a server that is rebuilt.'),
    ],
    'cinder': [
        cfg.BoolOpt('cross_az_attach', default=True,
                    help='(api) Let a server have volumes of another availability zone than its own. Where it may not, '
                         'volumes that are made with a server are made in its zone.'),
    ],
    # minicompute/service_auth.py adds to [glance], [neutron], [cinder] and [service_user] what keystoneauth reads.
    'glance': [
        cfg.IntOpt('num_retries', default=3, min=0,
                   help='(computes) How often the download of an image is taken up again where it broke off, until '
                        'the whole step is tried anew.'),
        cfg.BoolOpt('verify_glance_signatures', default=False,
                    help='(computes) Use no image whose signature has not been verified. There is no key manager that '
                         'has the certificates, so that all images are refused while this is on.'),
    ],
    'service_user': [
        cfg.BoolOpt('send_service_user_token', default=False,
                    help='(api) Send a token of this user with each token of a user, so that a neighbour knows who '
                         'asks, and takes a token that has ended meanwhile.'),
    ],
    'local_volumes': [
        cfg.StrOpt('path', default='$state_path/volumes',
                   help='Directory of the files of the local volumes: one and the same for all computes, conductors '
                        'and apis.'),
        cfg.IntOpt('max_size_gb', default=1000, min=1, help='Largest volume that may be made, in GiB.'),
        cfg.IntOpt('max_volumes', default=100, min=-1, help='Volumes a project may have. -1: no bound.'),
    ],
    'local_images': [
        cfg.StrOpt('path', default='$state_path/images',
                   help='Directory of the local image store; computes must see it too.'),
        cfg.IntOpt('max_size_gb', default=50, min=1, help='Largest image that may be uploaded, in GiB.'),
        cfg.BoolOpt('fsync', default=True,
                    help='Write an uploaded image through to the disk before it becomes active.'),
    ],
    'neutron': [
        cfg.StrOpt('ovs_bridge', default='br-int',
                   help='Bridge of Open vSwitch that ports are plugged into when Neutron names none.'),
        cfg.StrOpt('default_floating_pool', default='nova',
                   help='The network that a floating address is from which names no pool (up to 2.35).'),
        cfg.IntOpt('extension_sync_interval', default=600, min=0,
                   help='Seconds for which we believe what Neutron said of its extensions.'),
    ],
    'local_networks': [
        cfg.StrOpt('bridge_prefix', default='mcbr', regex='^[a-z]{1,6}$', help='Names of the bridges begin with this.'),
        cfg.StrOpt('default_cidr', default='10.77.0.0/16', help='Networks made without a CIDR are cut from this.'),
        cfg.ListOpt('project_cidrs', default=['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
                    help='What projects may number their networks with (administrators: with anything). Each host '
                         'gets a route to them, so leave out what a host must reach elsewhere.'),
        cfg.IntOpt('max_security_groups', default=10, min=-1, help='Security groups a project may have. -1: no bound.'),
        cfg.IntOpt('max_security_group_rules', default=100, min=-1,
                   help='Rules that all security groups of a project may have. -1: no bound.'),
        cfg.IntOpt('max_ports', default=500, min=-1,
                   help='With this many ports, those of servers too, a project makes no more by hand. -1: no bound.'),
    ],
}
