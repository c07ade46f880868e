"""What stands beside Nova's contract, under /minicompute/v1/."""
from minicompute.policies.base import ADMIN, MEMBER, READER, table

ROOT = '/minicompute/v1'

RULES = [
    *table('placement', [
        ('explain', MEMBER, 'Ask whether and where servers would fit, without creating them.',
         f'POST {ROOT}/placement'),
        ('show', READER, 'Show how a server was placed, and whether another like it would fit.',
         f'GET {ROOT}/servers/{{id}}/placement'),
        ('hosts', ADMIN, 'Show the names of hosts in explanations; others see how many they are.',
         f'POST {ROOT}/placement', f'GET {ROOT}/servers/{{id}}/placement'),
    ], prefix='minicompute:'),
    *table('events', [
        ('follow', READER, "Follow the events of the project's servers.", f'GET {ROOT}/events'),
        ('follow:all_projects', ADMIN, 'Follow the events of the servers of all projects.', f'GET {ROOT}/events'),
        ('hosts', ADMIN, 'Show the hosts of servers in events.', f'GET {ROOT}/events'),
        ('wait', READER, 'Wait until a server has a status.', f'GET {ROOT}/servers/{{id}}/wait'),
    ], prefix='minicompute:'),
    *table('summary', [
        ('show', READER, "Count the project's servers.", f'GET {ROOT}/summary'),
        ('show:all_projects', ADMIN, 'Count the servers of all projects.', f'GET {ROOT}/summary'),
        ('hosts', ADMIN, 'Count servers by host.', f'GET {ROOT}/summary'),
    ], prefix='minicompute:'),
]
