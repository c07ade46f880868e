"""Default quotas. -1: no bound. Names as in Nova's [quota]."""
from oslo_config import cfg

DEFAULTS = {
    'instances': (10, 'Servers a project may have.'), 'cores': (20, 'Cores of all servers of a project.'),
    'ram': (50 * 1024, 'Memory of all servers of a project, in MiB.'),
    'metadata_items': (128, 'Metadata items of one server.'), 'injected_files': (5, 'Injected files of one server.'),
    'injected_file_content_bytes': (10 * 1024, 'Bytes of one injected file.'),
    'injected_file_path_length': (255, 'Length of the path of an injected file.'),
    'key_pairs': (100, 'Key pairs of one user.'), 'server_groups': (10, 'Server groups of a project.'),
    'server_group_members': (10, 'Servers in one group.'),
}

OPTIONS = {'quota': [cfg.IntOpt(name, default=value, min=-1, help=text) for name, (value, text) in DEFAULTS.items()]}
