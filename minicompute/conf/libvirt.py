"""The libvirt driver. Names as in Nova's [libvirt]."""
from oslo_config import cfg

OPTIONS = {
    'libvirt': [
        cfg.StrOpt('virt_type', default='auto', choices=['auto', 'kvm', 'qemu'],
                   help='auto: kvm when the CPU has the flag and /dev/kvm is there, else qemu.'),
        cfg.StrOpt('connection_uri', default='qemu:///system', help='The libvirtd of this host.'),
        cfg.StrOpt('remote_uri', default='qemu+tls://%s/system',
                   help='The libvirtd of another host; %s is what libvirt calls that host. Both hosts prove who they '
                        'are by their certificates.'),
        cfg.StrOpt('cpu_mode', choices=['host-model', 'host-passthrough', 'custom', 'none'],
                   help='How the CPU of the guest is told. Default: host-model under kvm, none under qemu.'),
        cfg.ListOpt('cpu_models', default=[], help='With cpu_mode=custom: models, the best that fits is taken.'),
        cfg.ListOpt('cpu_model_extra_flags', default=[], help='CPU flags to add (+flag or flag) or take away (-flag).'),
        cfg.ListOpt('hw_machine_type', default=[], help='Machine types by architecture, such as x86_64=q35.'),
        cfg.StrOpt('images_type', default='qcow2', choices=['qcow2', 'raw'], help='Format of the disks of servers.'),
        cfg.ListOpt('disk_cachemodes', default=[], help='Cache modes by disk type, such as file=writeback.'),
        cfg.StrOpt('nfs_mount_point_base', default='$state_path/mnt',
                   help='Where shares of volumes are mounted, each in a directory of its own.'),
        cfg.StrOpt('nfs_mount_options', help='Options for mount(8), such as vers=4.2,hard.'),
        cfg.StrOpt('rbd_user', help='The user of Ceph for volumes of which Cinder names none.'),
        cfg.StrOpt('rbd_secret_uuid', help='The secret in libvirt for volumes of which Cinder names none.'),
        cfg.BoolOpt('volume_use_multipath', default=False, help='Let os-brick use several paths to a volume.'),
        cfg.IntOpt('num_pcie_ports', default=0, min=0, max=28, help='PCIe ports for hot plug. 0: what libvirt does.'),
        cfg.IntOpt('wait_soft_reboot_seconds', default=120, min=0,
                   help='A soft reboot that takes longer becomes a hard one.'),
        cfg.IntOpt('mem_stats_period_seconds', default=10, min=0,
                   help='Period of the memory balloon statistics. 0: none.'),
        cfg.StrOpt('rng_dev_path', default='/dev/urandom', help='Entropy source of the host for guests.'),
        cfg.StrOpt('port_filter', default='clean-traffic',
                   help='Network filter of libvirt that keeps a guest to its own addresses. Empty: none.'),
        cfg.IntOpt('max_queues', min=1, help='Most queues of a multiqueue network card.'),
        cfg.BoolOpt('live_migration_with_native_tls', default=True,
                    help='Encrypt memory and disks on their way by QEMU itself; QEMU needs its certificates on all '
                         'hosts. False: they go through a tunnel of the libvirtds, which cannot carry local disks.'),
        cfg.StrOpt('live_migration_inbound_addr',
                   help='Name or address by which other hosts send memory and disks here. Default: the name that '
                        'libvirt gives this host.'),
        cfg.IntOpt('live_migration_bandwidth', default=0, min=0, help='Most MiB a second. 0: no bound.'),
        cfg.IntOpt('live_migration_downtime', default=500, min=1,
                   help='Milliseconds that a guest may stand still at the switch.'),
        cfg.IntOpt('live_migration_completion_timeout', default=800, min=0,
                   help='Seconds for each GiB of memory and disk to copy, then live_migration_timeout_action. '
                        '0: wait for ever.'),
        cfg.StrOpt('live_migration_timeout_action', default='abort', choices=['abort', 'force_complete'],
                   help='force_complete: the guest is paused until the rest is copied.'),
        cfg.BoolOpt('live_migration_permit_auto_converge', default=False,
                    help='Slow a guest down whose memory changes faster than it can be copied.'),
    ],
}
