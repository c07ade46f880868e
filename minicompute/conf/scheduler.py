"""The scheduler. Names as in Nova's [scheduler] and [filter_scheduler]."""
from oslo_config import cfg

FILTERS = ['ComputeFilter', 'AvailabilityZoneFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter',
           'AggregateInstanceExtraSpecsFilter', 'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter',
           'SameHostFilter', 'DifferentHostFilter', 'IsolatedHostsFilter', 'JsonFilter']
WEIGHERS = ['RAMWeigher', 'CPUWeigher', 'DiskWeigher', 'IoOpsWeigher', 'BuildFailureWeigher',
            'ServerGroupSoftAffinityWeigher', 'ServerGroupSoftAntiAffinityWeigher']

OPTIONS = {
    'scheduler': [
        cfg.IntOpt('max_attempts', default=3, min=1,
                   help='Hosts that a build is tried on before the server goes to ERROR.'),
        cfg.FloatOpt('refresh_interval', default=1.0, min=0.1,
                     help='Seconds between two reads of the hosts that changed.'),
    ],
    'filter_scheduler': [
        cfg.ListOpt('enabled_filters', default=FILTERS,
                    help='Filters, in the order in which they run. There are NumInstancesFilter and '
                         'IoOpsFilter as well, and what packages offer under minicompute.scheduler.filters.'),
        cfg.IntOpt('max_instances_per_host', default=50, min=1,
                   help='Bound of NumInstancesFilter, if that is enabled.'),
        cfg.IntOpt('max_io_ops_per_host', default=8, min=1, help='Bound of IoOpsFilter, if that is enabled.'),
        cfg.ListOpt('weight_classes', default=WEIGHERS, help='Weighers.'),
        cfg.IntOpt('host_subset_size', default=1, min=1,
                   help='A host is picked at random among so many of the best.'),
        cfg.BoolOpt('shuffle_best_same_weighed_hosts', default=True,
                    help='Hosts of equal weight are taken in a random order, so that schedulers do not '
                         'fight over one.'),
        cfg.FloatOpt('ram_weight_multiplier', default=1.0, help='Weight of free memory.'),
        cfg.FloatOpt('cpu_weight_multiplier', default=1.0, help='Weight of free cores.'),
        cfg.FloatOpt('disk_weight_multiplier', default=1.0, help='Weight of free disk.'),
        cfg.FloatOpt('io_ops_weight_multiplier', default=-1.0,
                     help='Weight of busy servers: negative spreads them.'),
        cfg.FloatOpt('build_failure_weight_multiplier', default=1000000.0,
                     help='Weight of recent failed builds (taken off).'),
        cfg.FloatOpt('soft_affinity_weight_multiplier', default=1.0, min=0,
                     help='Weight of soft affinity.'),
        cfg.FloatOpt('soft_anti_affinity_weight_multiplier', default=1.0, min=0,
                     help='Weight of soft anti-affinity.'),
        cfg.ListOpt('isolated_images', default=[], help='Images that run only on isolated hosts.'),
        cfg.ListOpt('isolated_hosts', default=[], help='Hosts that run only isolated images.'),
        cfg.BoolOpt('restrict_isolated_hosts_to_isolated_images', default=True,
                    help='Whether an isolated host refuses every other image.'),
    ],
}
