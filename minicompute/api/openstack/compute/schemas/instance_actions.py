from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_LIMIT = {'type': 'string', 'pattern': types.whole('[0-9]{1,18}')}
_paged = {'limit': types.once(_LIMIT), 'marker': types.once(types.QUERY_TEXT),
          'changes-since': types.once(types.DATE_TIME)}
index_query = Schemas({
    '2.1': types.query({}), '2.58': types.query(_paged, strict=True),
    '2.66': types.query({**_paged, 'changes-before': types.once(types.DATE_TIME)}, strict=True)})
show_query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_action = types.closed({
    'action': types.STRING, 'instance_uuid': types.UUID, 'request_id': types.STRING,
    'user_id': types.NULLABLE_STRING, 'project_id': types.NULLABLE_STRING, 'message': types.NULLABLE_STRING,
    'start_time': types.DATE_TIME})
_action['required'] = list(_action['properties'])
_action_2_58 = types.extended(_action, updated_at=types.NULLABLE_DATE_TIME,
                              required=[*_action['required'], 'updated_at'])

_event = types.closed({
    'event': types.STRING, 'start_time': types.NULLABLE_DATE_TIME, 'finish_time': types.NULLABLE_DATE_TIME,
    'result': types.NULLABLE_STRING, 'traceback': types.NULLABLE_STRING},
    required=['event', 'start_time', 'finish_time', 'result'])
_event_2_62 = types.extended(_event, host=types.NULLABLE_STRING, hostId=types.STRING,
                             required=[*_event['required'], 'hostId'])
_event_2_84 = types.extended(_event_2_62, details=types.NULLABLE_STRING)


def _page(row: types.Schema, **more: types.Schema) -> types.Schema:
    return types.closed({'instanceActions': {'type': 'array', 'items': row}, **more}, required=['instanceActions'])


def _one(row: types.Schema, event: types.Schema, always: bool) -> types.Schema:
    required = [*row['required'], 'events'] if always else row['required']
    return types.single('instanceAction', types.extended(
        row, events={'type': 'array', 'items': event}, required=required))


index_answer = Schemas({'2.1': _page(_action), '2.58': _page(_action_2_58, links=types.LINKS)})
show_answer = Schemas({
    '2.1': _one(_action, _event, always=False), '2.51': _one(_action, _event, always=True),
    '2.58': _one(_action_2_58, _event, always=True), '2.62': _one(_action_2_58, _event_2_62, always=True),
    '2.84': _one(_action_2_58, _event_2_84, always=True)})
