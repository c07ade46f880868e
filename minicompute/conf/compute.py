"""The compute daemon, and what the API and scheduler assume of it."""
from oslo_config import cfg

OPTIONS = {
    'DEFAULT': [
        cfg.StrOpt('compute_driver', default='libvirt.LibvirtDriver',
                   help='Entry point in minicompute.compute.drivers: libvirt.LibvirtDriver or fake.FakeDriver.'),
        cfg.StrOpt('instances_path', default='$state_path/instances', help='Where the disks of the servers lie.'),
        cfg.FloatOpt('cpu_allocation_ratio', default=4.0, min=0.01, help='Virtual cores offered for each real one.'),
        cfg.FloatOpt('ram_allocation_ratio', default=1.0, min=0.01, help='Memory offered for each real MiB.'),
        cfg.FloatOpt('disk_allocation_ratio', default=1.0, min=0.01, help='Disk offered for each real GiB.'),
        cfg.IntOpt('reserved_host_cpus', default=0, min=0, help='Cores kept for the host.'),
        cfg.IntOpt('reserved_host_memory_mb', default=512, min=0, help='Memory kept for the host, in MiB.'),
        cfg.IntOpt('reserved_host_disk_mb', default=0, min=0, help='Disk kept for the host, in MiB.'),
        cfg.IntOpt('sync_power_state_interval', default=600, min=0,
                   help='Seconds between two comparisons of power states. 0: never.'),
        cfg.IntOpt('update_resources_interval', default=60, min=5,
                   help='Seconds between two reports of the resources of a host.'),
        cfg.BoolOpt('resume_guests_state_on_host_boot', default=False,
                    help='Start the servers again that ran when the host went down.'),
        cfg.IntOpt('shutdown_timeout', default=60, min=0,
                   help='Seconds that a guest has to shut down before it is cut off.'),
        cfg.IntOpt('max_concurrent_builds', default=10, min=0, help='Builds at a time on a host. 0: no bound.'),
        cfg.IntOpt('max_concurrent_live_migrations', default=1, min=0,
                   help='Live migrations at a time from one host; the others wait, `queued`. 0: no bound.'),
        cfg.StrOpt('default_ephemeral_format', default='ext4', choices=['ext4', 'vfat'],
                   help='File system of ephemeral disks.'),
        cfg.BoolOpt('force_config_drive', default=False, help='Give every server a config drive.'),
        cfg.StrOpt('config_drive_format', default='iso9660', choices=['iso9660', 'vfat'],
                   help='Format of config drives.'),
    ],
    'image_cache': [
        cfg.IntOpt('manager_interval', default=2400, min=-1,
                   help='Seconds between two runs of the image cache cleaner. -1: never.'),
        cfg.IntOpt('remove_unused_original_minimum_age_seconds', default=86400, min=0,
                   help='An unused base image this old is removed.'),
    ],
    'fake': [
        cfg.StrOpt('state_dir', default='$state_path/fake-domains',
                   help='Where the fake driver keeps <host>/<uuid>, a link for each domain, which outlives the '
                        'daemon.'),
        cfg.IntOpt('vcpus', default=1000, help='Cores of a fake host.'),
        cfg.IntOpt('memory_mb', default=800000, help='Memory of a fake host in MiB.'),
        cfg.IntOpt('local_gb', default=600000, help='Disk of a fake host in GiB.'),
        cfg.FloatOpt('spawn_seconds', default=0.0, min=0, help='How long a fake guest takes to boot.'),
        cfg.FloatOpt('live_migration_seconds', default=0.0, min=0,
                     help='How long the memory of a fake guest takes to another host.'),
    ],
}
