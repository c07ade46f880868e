from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

no_query = Schemas({'2.1': types.query({})})

_SERVERS = types.once({'type': 'string', 'enum': [text for text in types.BOOLEAN['enum'] if isinstance(text, str)]})
_index_2_53 = {'limit': types.once(types.QUERY_NUMBER), 'marker': types.once(types.QUERY_TEXT),
               'hypervisor_hostname_pattern': types.once(types.HOSTNAME),
               'with_servers': _SERVERS}
index_query = Schemas({'2.1': types.query({}), '2.33': types.query(types.PAGING),
                       '2.53': types.query(_index_2_53, strict=True)})
show_query = Schemas({'2.1': types.query({}), '2.53': types.query({'with_servers': _SERVERS}, strict=True)})

_brief = types.closed({'id': types.INTEGER, 'hypervisor_hostname': types.STRING, 'state': {'enum': ['up', 'down']},
                       'status': {'enum': ['enabled', 'disabled']}})
_brief['required'] = list(_brief['properties'])
_server_rows = {'type': 'array', 'items': types.closed({'name': types.STRING, 'uuid': types.UUID},
                                                       required=['name', 'uuid'])}
_brief_servers = types.extended(_brief, servers=_server_rows)
_brief_2_53 = types.extended(_brief_servers, id=types.UUID)

_service = types.closed({'id': types.INTEGER, 'host': types.STRING, 'disabled_reason': types.NULLABLE_STRING},
                        required=['id', 'host', 'disabled_reason'])
_capacity = ('vcpus', 'vcpus_used', 'memory_mb', 'memory_mb_used', 'free_ram_mb', 'local_gb', 'local_gb_used',
             'free_disk_gb', 'running_vms', 'current_workload')
_OPTIONAL_INTEGER = {'type': ['integer', 'null']}
_more = {'host_ip': types.NULLABLE_STRING, 'hypervisor_type': types.STRING, 'hypervisor_version': types.INTEGER,
         'service': _service}
_full = types.extended(
    _brief, **_more, cpu_info=types.STRING, disk_available_least=_OPTIONAL_INTEGER,
    **dict.fromkeys(_capacity, types.INTEGER),
    required=[*_brief['required'], *_more, 'cpu_info', 'disk_available_least', *_capacity])
_full_2_28 = types.extended(_full, cpu_info={'type': 'object'})
_service_2_53 = types.extended(_service, id=types.UUID)
_full_2_53 = types.extended(_full_2_28, id=types.UUID, servers=_server_rows, service=_service_2_53)
_full_2_88 = types.extended(_brief_2_53, **{**_more, 'service': _service_2_53}, uptime=types.NULLABLE_STRING,
                            required=[*_brief['required'], *_more, 'uptime'])
_FULL = {'2.1': _full, '2.28': _full_2_28, '2.53': _full_2_53, '2.88': _full_2_88}


def _page(row: types.Schema, linked: bool = True) -> types.Schema:
    properties = {'hypervisors': {'type': 'array', 'items': row}}
    if linked:
        properties['hypervisors_links'] = types.LINKS
    return types.closed(properties, required=['hypervisors'])


index_answer = Schemas({'2.1': _page(_brief, linked=False), '2.33': _page(_brief), '2.53': _page(_brief_2_53)})
detail_answer = Schemas({'2.1': _page(_full, linked=False), '2.28': _page(_full_2_28, linked=False),
                         '2.33': _page(_full_2_28), '2.53': _page(_full_2_53), '2.88': _page(_full_2_88)})
show_answer = Schemas({version: types.single('hypervisor', row) for version, row in _FULL.items()})
search_answer = Schemas({'2.1': _page(_brief, linked=False)})
servers_answer = Schemas({'2.1': _page(_brief_servers, linked=False)})


def _uptime(row: types.Schema) -> types.Schema:
    return types.single('hypervisor', types.extended(row, uptime=types.STRING, required=[*row['required'], 'uptime']))


uptime_answer = Schemas({'2.1': _uptime(_brief), '2.53': _uptime(_brief_2_53)})

_sums = ('count', *_capacity, 'disk_available_least')
statistics_answer = Schemas({'2.1': types.single('hypervisor_statistics', types.closed(
    dict.fromkeys(_sums, types.INTEGER), required=list(_sums)))})
