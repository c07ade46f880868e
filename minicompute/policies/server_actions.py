"""What is done to one server through POST /servers/{id}/action."""
from minicompute.policies.base import ADMIN, MANAGER, MEMBER, table

RULES = [
    *table('os-admin-actions', [
        ('reset_state', ADMIN, 'Set the state of a server by hand.',
         'POST /servers/{id}/action (os-resetState)'),
        ('inject_network_info', ADMIN, 'Inject network information into a server.',
         'POST /servers/{id}/action (injectNetworkInfo)'),
    ]),
    *table('os-admin-password', [
        ('', MEMBER, "Change the administrator's password of a server.",
         'POST /servers/{id}/action (changePassword)'),
    ]),
    *table('os-console-output', [
        ('', MEMBER, 'Show the console log of a server.', 'POST /servers/{id}/action (os-getConsoleOutput)'),
    ]),
    *table('os-create-backup', [
        ('', MEMBER, 'Back up a server.', 'POST /servers/{id}/action (createBackup)'),
    ]),
    *table('os-deferred-delete', [
        ('restore', MEMBER, 'Restore a soft-deleted server.', 'POST /servers/{id}/action (restore)'),
        ('force', MEMBER, 'Delete a server at once, whatever its state.',
         'POST /servers/{id}/action (forceDelete)'),
    ]),
    *table('os-evacuate', [
        ('', ADMIN, 'Evacuate a server from a dead host.', 'POST /servers/{id}/action (evacuate)'),
    ]),
    *table('os-lock-server', [
        ('lock', MEMBER, 'Lock a server.', 'POST /servers/{id}/action (lock)'),
        ('unlock', MEMBER, 'Unlock a server.', 'POST /servers/{id}/action (unlock)'),
        ('unlock:unlock_override', ADMIN, 'Unlock a server that somebody else locked.',
         'POST /servers/{id}/action (unlock)'),
    ]),
    *table('os-migrate-server', [
        ('migrate', MANAGER, 'Cold migrate a server.', 'POST /servers/{id}/action (migrate)'),
        ('migrate:host', ADMIN, 'Cold migrate a server to a named host.',
         'POST /servers/{id}/action (migrate)'),
        ('migrate_live', MANAGER, 'Live migrate a server.', 'POST /servers/{id}/action (os-migrateLive)'),
        ('migrate_live:host', ADMIN, 'Live migrate a server to a named host.',
         'POST /servers/{id}/action (os-migrateLive)'),
    ]),
    *table('os-multinic', [
        ('add', MEMBER, 'Add a fixed address to a server.', 'POST /servers/{id}/action (addFixedIp)'),
        ('remove', MEMBER, 'Remove a fixed address from a server.',
         'POST /servers/{id}/action (removeFixedIp)'),
    ]),
    *table('os-pause-server', [
        ('pause', MEMBER, 'Pause a server.', 'POST /servers/{id}/action (pause)'),
        ('unpause', MEMBER, 'Unpause a server.', 'POST /servers/{id}/action (unpause)'),
    ]),
    *table('os-remote-consoles', [
        ('', MEMBER, 'Get access to a console of a server.',
         'POST /servers/{id}/action (os-getVNCConsole)', 'POST /servers/{id}/action (os-getSPICEConsole)',
         'POST /servers/{id}/action (os-getSerialConsole)', 'POST /servers/{server_id}/remote-consoles'),
    ]),
    *table('os-rescue', [
        ('', MEMBER, 'Rescue a server.', 'POST /servers/{id}/action (rescue)'),
    ]),
    *table('os-unrescue', [
        ('', MEMBER, 'Unrescue a server.', 'POST /servers/{id}/action (unrescue)'),
    ]),
    *table('os-shelve', [
        ('shelve', MEMBER, 'Shelve a server.', 'POST /servers/{id}/action (shelve)'),
        ('unshelve', MEMBER, 'Unshelve a server.', 'POST /servers/{id}/action (unshelve)'),
        ('unshelve_to_host', ADMIN, 'Unshelve a server to a named host.',
         'POST /servers/{id}/action (unshelve)'),
        ('shelve_offload', ADMIN, 'Free the host of a shelved server.',
         'POST /servers/{id}/action (shelveOffload)'),
    ]),
    *table('os-suspend-server', [
        ('suspend', MEMBER, 'Suspend a server.', 'POST /servers/{id}/action (suspend)'),
        ('resume', MEMBER, 'Resume a server.', 'POST /servers/{id}/action (resume)'),
    ]),
]
