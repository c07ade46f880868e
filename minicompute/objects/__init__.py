"""Plain typed records: what the database holds, what the wire carries, what a driver is given."""
from minicompute.objects.action import Action, ActionState, StepProgress, StepReport, StepRequest
from minicompute.objects.base import from_primitive, record, to_primitive
from minicompute.objects.block_device import BlockDevice
from minicompute.objects.console import Console, ConsoleToken
from minicompute.objects.fields import Binary, PowerState, TaskState, VMState
from minicompute.objects.flavor import Flavor
from minicompute.objects.host import Aggregate, ComputeNode, Service
from minicompute.objects.image_meta import ImageMeta
from minicompute.objects.instance import Instance
from minicompute.objects.keypair import KeyPair
from minicompute.objects.migration import Migration, MigrationStatus, MigrationType
from minicompute.objects.network import Network, Port, SecurityGroup, SecurityGroupRule
from minicompute.objects.network_info import VIF, FixedIP, Subnet
from minicompute.objects.request_spec import InstanceGroup, RequestSpec, Selection
from minicompute.objects.volume import Volume, VolumeAttachment, VolumeSnapshot, VolumeStatus

__all__ = ['VIF', 'Action', 'ActionState', 'Aggregate', 'Binary', 'BlockDevice', 'ComputeNode', 'Console',
           'ConsoleToken', 'FixedIP', 'Flavor', 'ImageMeta', 'Instance', 'InstanceGroup', 'KeyPair', 'Migration',
           'MigrationStatus', 'MigrationType', 'Network', 'Port', 'PowerState', 'RequestSpec',
           'SecurityGroup', 'SecurityGroupRule', 'Selection',
           'Service',
           'StepProgress', 'StepReport', 'StepRequest', 'Subnet', 'TaskState', 'VMState', 'Volume',
           'VolumeAttachment', 'VolumeSnapshot', 'VolumeStatus', 'from_primitive', 'record',
           'to_primitive']
