"""Nova's two databases, read: plain SELECTs of the columns that are taken over, and nothing is ever written there."""
from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from minicompute import exception

#: ids of one IN
CHUNK = 500

#: table -> its columns; those with `deleted` only give rows that are not
NOVA = {
    'services': 'id uuid host binary topic report_count disabled disabled_reason last_seen_up forced_down created_at '
                'deleted',
    'compute_nodes': 'id uuid host hypervisor_hostname hypervisor_type hypervisor_version host_ip vcpus memory_mb '
                     'local_gb cpu_info supported_instances cpu_allocation_ratio ram_allocation_ratio '
                     'disk_allocation_ratio created_at deleted',
    'instances': 'id uuid user_id project_id image_ref kernel_id ramdisk_id hostname launch_index key_name key_data '
                 'power_state vm_state task_state host node user_data reservation_id launched_at terminated_at '
                 'availability_zone display_name display_description locked locked_by os_type architecture '
                 'root_device_name config_drive access_ip_v4 access_ip_v6 auto_disk_config progress created_at '
                 'updated_at deleted',
    'instance_extra': 'instance_uuid flavor numa_topology pci_requests trusted_certs resources deleted',
    'instance_info_caches': 'instance_uuid network_info deleted',
    'instance_metadata': 'instance_uuid key value deleted',
    'instance_system_metadata': 'instance_uuid key value deleted',
    'instance_faults': 'id instance_uuid code message details created_at deleted',
    'block_device_mapping': 'id instance_uuid uuid source_type destination_type guest_format device_type disk_bus '
                            'boot_index device_name delete_on_termination snapshot_id volume_id volume_size '
                            'volume_type image_id no_device connection_info tag attachment_id encrypted created_at '
                            'deleted',
    'migrations': 'id uuid instance_uuid migration_type status source_compute source_node dest_compute dest_node '
                  'dest_host old_instance_type_id new_instance_type_id user_id project_id memory_total '
                  'memory_processed memory_remaining disk_total disk_processed disk_remaining created_at updated_at '
                  'deleted',
    'instance_actions': 'id action instance_uuid request_id user_id project_id start_time finish_time message '
                        'updated_at deleted',
    'instance_actions_events': 'id action_id event start_time finish_time result traceback host details deleted',
    'pci_devices': 'instance_uuid deleted',
    'share_mapping': 'instance_uuid',
    'tags': 'resource_id tag',
}
NOVA_API = {
    'flavors': 'id name memory_mb vcpus root_gb ephemeral_gb flavorid swap rxtx_factor disabled is_public description '
               'created_at',
    'flavor_extra_specs': 'flavor_id key value', 'flavor_projects': 'flavor_id project_id',
    'key_pairs': 'id name user_id fingerprint public_key type created_at',
    'quotas': 'project_id resource hard_limit', 'project_user_quotas': 'project_id user_id resource hard_limit',
    'quota_classes': 'class_name resource hard_limit',
    'aggregates': 'id uuid name created_at', 'aggregate_hosts': 'aggregate_id host',
    'aggregate_metadata': 'aggregate_id key value',
    'instance_groups': 'id uuid name user_id project_id created_at', 'instance_group_member': 'group_id instance_uuid',
    'instance_group_policy': 'group_id policy rules',
    'request_specs': 'instance_uuid spec', 'build_requests': 'instance_uuid project_id',
}


def _tables(columns: dict[str, str]) -> dict[str, Any]:
    """As tables of timestamps, texts and numbers alike: values come as the driver gives them."""
    times = {'created_at', 'updated_at', 'launched_at', 'terminated_at', 'last_seen_up', 'start_time', 'finish_time'}
    return {name: sa.table(name, *(sa.column(one, sa.DateTime if one in times else None) for one in names.split()))
            for name, names in columns.items()}


def _there(conn: sa.Connection, tables: dict[str, Any]) -> dict[str, set[str]]:
    """The columns that each table has: an older Nova lacks some, and a few tables. Raises Invalid for another
    database than Nova's."""
    inspector = sa.inspect(conn)
    names = set(inspector.get_table_names())
    if len(names & set(tables)) < len(tables) // 2:
        raise exception.Invalid('these are not its tables')
    return {name: {column['name'] for column in inspector.get_columns(name)} if name in names else set()
            for name in tables}


class Database:
    """One of them, in one transaction that reads. What was read is kept: who asks again, for no more, gets the same."""

    def __init__(self, url: str, columns: dict[str, str], what: str) -> None:
        self._tables = _tables(columns)
        self._kept: dict[tuple[str, str], tuple[frozenset[Any] | None, list[Any]]] = {}
        try:
            self._engine = sa.create_engine(url)
            self._conn = self._engine.connect()
            self._there = _there(self._conn, self._tables)
        except Exception as error:
            raise exception.Invalid(f'{what} cannot be read: {" ".join(str(error).split())[:300]}') from None

    def close(self) -> None:
        self._conn.close()
        self._engine.dispose()

    def rows(self, name: str, among: Iterable[Any] | None = None, by: str = 'instance_uuid') -> list[Any]:
        """All rows, or those whose column `by` is in `among`; in the order of their ids."""
        wanted = None if among is None else frozenset(among)
        known, rows = self._kept.get((name, by), (frozenset(), []))
        if (name, by) not in self._kept or known is not None and (wanted is None or not wanted <= known):
            rows = self._read(name, wanted, by)
            self._kept[name, by] = wanted, rows
        return list(rows) if wanted is None else [row for row in rows if row._mapping[by] in wanted]

    def _read(self, name: str, among: frozenset[Any] | None, by: str) -> list[Any]:
        table, there = self._tables[name], self._there[name]
        if not there:
            return []
        query = sa.select(*(column if column.name in there else sa.null().label(column.name) for column in table.c))
        if 'deleted' in there:
            query = query.where(table.c.deleted == 0)
        if 'id' in table.c:
            query = query.order_by(table.c.id)
        if among is None:
            return list(self._conn.execute(query))
        wanted = sorted(among)
        found: list[Any] = []
        for start in range(0, len(wanted), CHUNK):
            found += self._conn.execute(query.where(table.c[by].in_(wanted[start:start + CHUNK]))).all()
        return found

    def grouped(self, name: str, among: Iterable[Any] | None = None, by: str = 'instance_uuid') -> dict[Any, list[Any]]:
        found: dict[Any, list[Any]] = defaultdict(list)
        for row in self.rows(name, among, by):
            found[row._mapping[by]].append(row)
        return found

class Source:
    """`nova`: the database of the cell that has the servers; `api`: Nova's API database."""

    def __init__(self, nova_url: str, api_url: str) -> None:
        self.nova = Database(nova_url, NOVA, "Nova's database (--nova-database)")
        self.api = Database(api_url, NOVA_API, "Nova's API database (--nova-api-database)")

    def close(self) -> None:
        self.nova.close()
        self.api.close()


def document(text: str | None) -> Any:
    """A JSON column; None for what is none."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def plain(value: Any) -> Any:
    """What Nova keeps as versioned objects, as plain dicts and lists."""
    if isinstance(value, dict):
        if 'nova_object.data' in value:
            return {name: plain(one) for name, one in value['nova_object.data'].items()}
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value
