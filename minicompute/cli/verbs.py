"""The table of verbs: name -> module:class. A verb's module is imported when the verb is used."""

from __future__ import annotations

MODULES: dict[str, dict[str, str]] = {
    'boot': {'boot': 'Boot'},
    'servers': {'list': 'List', 'show': 'Show', 'update': 'Update', 'rename': 'Rename'},
    'server_actions': {
        'delete': 'Delete', 'force-delete': 'ForceDelete', 'start': 'Start', 'stop': 'Stop',
        'reboot': 'Reboot',
        'instance-action-list': 'ActionList', 'instance-action': 'ActionShow',
    },
    'consoles': {
        'console-log': 'ConsoleLog', 'get-vnc-console': 'Vnc', 'get-spice-console': 'Spice',
        'get-serial-console': 'Serial', 'get-mks-console': 'Mks',
    },
    'admin_actions': {
        'lock': 'Lock', 'unlock': 'Unlock', 'reset-state': 'ResetState', 'restore': 'Restore',
        'inject-network-info': 'InjectNetworkInfo', 'diagnostics': 'Diagnostics', 'server-topology': 'Topology',
        'list-secgroup': 'GroupList', 'add-secgroup': 'GroupAdd', 'remove-secgroup': 'GroupRemove',
    },
    'aggregates': {
        'aggregate-list': 'List', 'aggregate-show': 'Show', 'aggregate-create': 'Create',
        'aggregate-update': 'Update', 'aggregate-delete': 'Delete', 'aggregate-set-metadata': 'SetMetadata',
        'aggregate-add-host': 'AddHost', 'aggregate-remove-host': 'RemoveHost',
        'aggregate-cache-images': 'CacheImages',
    },
    'guest_actions': {
        'pause': 'Pause', 'unpause': 'Unpause', 'suspend': 'Suspend', 'resume': 'Resume', 'rescue': 'Rescue',
        'unrescue': 'Unrescue', 'trigger-crash-dump': 'TriggerCrashDump', 'set-password': 'SetPassword',
        'get-password': 'GetPassword', 'clear-password': 'ClearPassword',
    },
    'disks': {
        'backup': 'Backup', 'rebuild': 'Rebuild', 'shelve': 'Shelve', 'shelve-offload': 'ShelveOffload',
        'unshelve': 'Unshelve',
    },
    'moves': {
        'resize': 'Resize', 'resize-confirm': 'Confirm', 'resize-revert': 'Revert', 'migrate': 'Migrate',
        'migration-list': 'List', 'server-migration-list': 'OfServer', 'server-migration-show': 'Show',
    },
    'live': {
        'live-migration': 'LiveMigration', 'live-migration-abort': 'Abort',
        'live-migration-force-complete': 'ForceComplete', 'evacuate': 'Evacuate', 'host-evacuate': 'HostEvacuate',
        'host-evacuate-live': 'HostEvacuateLive', 'host-servers-migrate': 'HostServersMigrate',
    },
    'host': {'host drain': 'Drain'},
    'server_facts': {
        'meta': 'Meta', 'server-tag-list': 'TagList', 'server-tag-add': 'TagAdd', 'server-tag-set': 'TagSet',
        'server-tag-delete': 'TagDelete', 'server-tag-delete-all': 'TagDeleteAll',
    },
    'flavors': {
        'flavor-list': 'List', 'flavor-show': 'Show', 'flavor-create': 'Create', 'flavor-delete': 'Delete',
        'flavor-update': 'Update', 'flavor-key': 'Key', 'flavor-access-list': 'AccessList',
        'flavor-access-add': 'AccessAdd', 'flavor-access-remove': 'AccessRemove',
    },
    'keypairs': {'keypair-list': 'List', 'keypair-show': 'Show', 'keypair-add': 'Add',
                 'keypair-delete': 'Delete'},
    'images': {'image-list': 'List', 'image-show': 'Show', 'image-create': 'Create',
               'image-delete': 'Delete'},
    'networks': {'network-list': 'List', 'network-show': 'Show', 'network-create': 'Create',
                 'network-delete': 'Delete'},
    'attachments': {
        'volume-attach': 'VolumeAttach', 'volume-detach': 'VolumeDetach', 'volume-attachments': 'VolumeAttachments',
        'volume-update': 'VolumeUpdate', 'interface-attach': 'InterfaceAttach',
        'interface-detach': 'InterfaceDetach', 'interface-list': 'InterfaceList', 'refresh-network': 'RefreshNetwork',
    },
    'volumes': {'volume-list': 'List', 'volume-show': 'Show', 'volume-create': 'Create',
                'volume-extend': 'Extend', 'volume-delete': 'Delete'},
    'services': {
        'service-list': 'List', 'service-enable': 'Enable', 'service-disable': 'Disable',
        'service-force-down': 'ForceDown', 'service-delete': 'Delete',
    },
    'hypervisors': {
        'hypervisor-list': 'List', 'hypervisor-show': 'Show', 'hypervisor-servers': 'Servers',
        'hypervisor-stats': 'Stats', 'hypervisor-uptime': 'Uptime',
    },
    'timeline': {'timeline': 'Timeline'},
    'explain': {'explain': 'Explain'},
    'server_groups': {
        'server-group-list': 'List', 'server-group-get': 'Get', 'server-group-create': 'Create',
        'server-group-delete': 'Delete', 'host-meta': 'HostMeta', 'ssh': 'Ssh',
    },
    'follow': {'events': 'Events'},
    'top': {'top': 'Top'},
    'quotas': {
        'quota-show': 'Show', 'quota-defaults': 'Defaults', 'quota-update': 'Update', 'quota-delete': 'Delete',
        'quota-class-show': 'ClassShow', 'quota-class-update': 'ClassUpdate',
    },
    'usage': {'usage': 'Show', 'usage-list': 'List', 'instance-usage-audit-log': 'AuditLog'},
    'misc': {'availability-zone-list': 'ZoneList', 'limits': 'Limits', 'version-list': 'VersionList'},
}

VERBS = {verb: f'minicompute.cli.{module}:{name}'
         for module, verbs in MODULES.items() for verb, name in verbs.items()}
