"""Every error that we raise by name.

    ComputeException
    +-- Invalid            400   the request cannot be right, whoever asks and whenever
    +-- Forbidden          403   the caller may not, or has used up a quota
    +-- NotFound           404   the thing named is not there (or not the caller's)
    +-- Conflict           409   right in itself, but not in this state
    +-- Unavailable        503   a part that we need does not answer
    +-- Unauthorized       401   a neighbour does not take the caller's token
    +-- NoValidHost        500   scheduling failed; carries the funnel
    +-- NotImplementedHere 501   this driver or backend cannot do it

One class is one `code`, and `api/openstack/faults.py` is the one place that
turns it into an HTTP fault.  A message names what was wrong, never a secret.
"""
from __future__ import annotations

from typing import Any


class ComputeException(Exception):
    """Base of all; `code` is the HTTP status, `msg_fmt` takes the keywords."""

    msg_fmt = 'An unknown error occurred.'
    code = 500

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        self.message = message or self.msg_fmt % kwargs
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class Invalid(ComputeException):
    msg_fmt = 'Bad request.'
    code = 400


class Forbidden(ComputeException):
    msg_fmt = 'Not allowed.'
    code = 403


class NotFound(ComputeException):
    msg_fmt = 'Resource could not be found.'
    code = 404


class Conflict(ComputeException):
    msg_fmt = 'The request conflicts with the current state.'
    code = 409


class Unavailable(ComputeException):
    msg_fmt = 'A service that this request needs is not available.'
    code = 503


class Unauthorized(ComputeException):
    msg_fmt = 'The request you have made requires authentication.'
    code = 401


class NotImplementedHere(ComputeException):
    msg_fmt = 'This operation is not supported here.'
    code = 501


class VerbUnknown(NotImplementedHere):
    """A conductor reads these words, also those of an older compute, which says them of a NotImplementedHere."""

    msg_fmt = '%(verb)s is unknown to this compute'


# -- 400 -----------------------------------------------------------------

class InvalidInput(Invalid):
    msg_fmt = 'Invalid input received: %(reason)s'


class ConsoleTypeInvalid(Invalid):
    msg_fmt = 'Invalid console type %(console_type)s'


class ConsoleTypeUnavailable(Invalid):
    msg_fmt = 'Unavailable console type %(console_type)s.'


class MarkerNotFound(Invalid):
    msg_fmt = 'Marker %(marker)s could not be found.'


class FlavorDiskTooSmall(Invalid):
    msg_fmt = ("Flavor's disk is too small for the requested image: the flavor has "
               '%(flavor_gb)s GiB, the image needs %(image_gb)s GiB.')


class FlavorMemoryTooSmall(Invalid):
    msg_fmt = "Flavor's memory is too small for the requested image."


class ImageNotActive(Invalid):
    msg_fmt = 'Image %(image_id)s is not active.'


class ImageUnacceptable(Invalid):
    msg_fmt = 'Image %(image_id)s is unacceptable: %(reason)s'


class ImageBadRequest(Invalid):
    msg_fmt = 'Request of image %(image_id)s got BadRequest response: %(response)s'


class InvalidBDM(Invalid):
    msg_fmt = 'Block Device Mapping is Invalid: %(reason)s'


class InstanceNotRescuable(Invalid):
    msg_fmt = 'Instance %(instance_id)s cannot be rescued: %(reason)s'


class UnsupportedRescueImage(Invalid):
    msg_fmt = "Requested rescue image '%(image)s' is not supported"


class UnsupportedRescueDevice(Invalid):
    msg_fmt = "Requested rescue device '%(device)s' is not supported"


class UnsupportedRescueBus(Invalid):
    msg_fmt = "Requested rescue bus '%(bus)s' is not supported"


class KeypairInvalid(Invalid):
    msg_fmt = 'Keypair data is invalid: %(reason)s'


class ComputeServiceInUse(Invalid):
    msg_fmt = 'Compute service of %(host)s is still in use.'


class UnableToMigrateToSelf(Invalid):
    msg_fmt = 'Unable to migrate instance (%(instance_id)s) to current host (%(host)s).'


class MigrationPreCheckError(Invalid):
    msg_fmt = 'Migration pre-check error: %(reason)s'


class InvalidCPUInfo(Invalid):
    msg_fmt = 'Unacceptable CPU info: %(reason)s'


class InvalidSharedStorage(Invalid):
    msg_fmt = '%(path)s is not on shared storage: %(reason)s'


class InvalidLocalStorage(Invalid):
    msg_fmt = '%(path)s is not on local storage: %(reason)s'


class InvalidMigrationState(Invalid):
    msg_fmt = ('Migration %(migration_id)s state of instance %(instance_uuid)s is %(state)s. Cannot %(method)s '
               'while the migration is in this state.')


class NetworkRequiresSubnet(Invalid):
    msg_fmt = 'Network %(network_uuid)s requires a subnet in order to boot instances on.'


class FixedIpInvalid(Invalid):
    msg_fmt = 'Fixed IP address %(address)s is invalid for network %(network_id)s: %(reason)s'


class FixedIpInUse(Invalid):
    msg_fmt = 'Fixed IP address %(address)s is already in use on network %(network_id)s.'


class NoMoreFixedIps(Invalid):
    msg_fmt = 'No fixed IP addresses available for network: %(network_id)s'


class InvalidVolume(Invalid):
    msg_fmt = 'Invalid volume: %(reason)s'


class NoNetworkToAttach(Invalid):
    msg_fmt = 'No specific network was requested and none are available for project %(project_id)s.'


class UnableToAutoAllocateNetwork(Invalid):
    msg_fmt = 'Unable to automatically allocate a network for project %(project_id)s'


# -- 403 -----------------------------------------------------------------

class PolicyNotAuthorized(Forbidden):
    msg_fmt = "Policy doesn't allow %(action)s to be performed."


class QuotaError(Forbidden):
    msg_fmt = 'Quota exceeded.'


class TooManyInstances(QuotaError):
    msg_fmt = ('Quota exceeded for %(overs)s: Requested %(req)s, but already used '
               '%(used)s of %(allowed)s %(overs)s')


class OverQuota(QuotaError):
    msg_fmt = 'Quota exceeded for resources: %(overs)s'


class SecurityGroupNotFound(NotFound):
    msg_fmt = 'Security group %(security_group_id)s does not exist'


class SecurityGroupRuleNotFound(NotFound):
    msg_fmt = 'Security group rule %(rule_id)s does not exist'


class SecurityGroupInUse(Conflict):
    msg_fmt = 'Security Group %(security_group_id)s in use.'


class SecurityGroupRuleExists(Conflict):
    msg_fmt = 'Security group rule already exists. Rule id is %(rule_id)s.'


class NoUniqueMatch(Conflict):
    msg_fmt = 'No Unique Match Found.'


class TooManyDiskDevices(Forbidden):
    msg_fmt = ('The maximum allowed number of disk devices (%(maximum)d) to attach to a single instance has been '
               'exceeded.')


class KeypairLimitExceeded(QuotaError):
    msg_fmt = 'Quota exceeded, too many key pairs.'


class MetadataLimitExceeded(QuotaError):
    msg_fmt = 'Maximum number of metadata items exceeds %(allowed)d'


# -- 404 -----------------------------------------------------------------

class InstanceNotFound(NotFound):
    msg_fmt = 'Instance %(instance_id)s could not be found.'


class FlavorNotFound(NotFound):
    msg_fmt = 'Flavor %(flavor_id)s could not be found.'


class FlavorExtraSpecsNotFound(NotFound):
    msg_fmt = 'Flavor %(flavor_id)s has no extra specs with key %(key)s.'


class FlavorAccessNotFound(NotFound):
    msg_fmt = 'Flavor access not found for %(flavor_id)s / %(project_id)s combination.'


class ImageNotFound(NotFound):
    msg_fmt = 'Image %(image_id)s could not be found.'


class KeypairNotFound(NotFound):
    msg_fmt = 'Keypair %(name)s not found for user %(user_id)s'


class ServiceNotFound(NotFound):
    msg_fmt = 'Service %(service_id)s could not be found.'


class HostNotFound(NotFound):
    msg_fmt = 'Host %(host)s could not be found.'


class ComputeHostNotFound(NotFound):
    msg_fmt = 'Compute host %(host)s could not be found.'


class NetworkNotFound(NotFound):
    msg_fmt = 'Network %(network_id)s could not be found.'


class SubnetNotFound(NotFound):
    msg_fmt = 'Subnet %(subnet_id)s could not be found.'


class VolumeNotFound(NotFound):
    msg_fmt = 'Volume %(volume_id)s could not be found.'


class SnapshotNotFound(NotFound):
    msg_fmt = 'Snapshot %(snapshot_id)s could not be found.'


class AttachmentNotFound(NotFound):
    msg_fmt = 'Volume attachment %(attachment_id)s could not be found.'


class VolumeNotAttached(NotFound):
    msg_fmt = 'Instance %(instance_uuid)s is not attached to volume %(volume_id)s'


class PortNotFound(NotFound):
    msg_fmt = 'Port id %(port_id)s could not be found.'


class AggregateNotFound(NotFound):
    msg_fmt = 'Aggregate %(aggregate_id)s could not be found.'


class InstanceGroupNotFound(NotFound):
    msg_fmt = 'Instance group %(group_uuid)s could not be found.'


class ActionNotFound(NotFound):
    msg_fmt = 'Action %(action_id)s could not be found.'


class DebtNotFound(NotFound):
    msg_fmt = 'Nothing is owed by the number %(debt_id)s.'


class MigrationNotFound(NotFound):
    msg_fmt = 'Migration %(migration_id)s could not be found.'


class MigrationNotFoundForInstance(NotFound):
    msg_fmt = 'Migration %(migration_id)s not found for instance %(instance_id)s'


class TagNotFound(NotFound):
    msg_fmt = "Server %(server_id)s has no tag '%(tag)s'"


class ConsoleNotAvailable(NotFound):
    msg_fmt = 'Guest does not have a console available.'


class ConsoleTokenInvalid(NotFound):
    """Not ours, used, expired, or its server is not where it was."""
    msg_fmt = 'Token not found'


class DomainNotFound(NotFound):
    """A driver knows no domain of this server."""
    msg_fmt = 'No domain of instance %(instance_id)s is on this host.'


# -- 409 -----------------------------------------------------------------

class InstanceInvalidState(Conflict):
    msg_fmt = ("Cannot '%(method)s' instance %(instance_uuid)s while it is in "
               '%(attr)s %(state)s')


class InstanceIsLocked(Conflict):
    msg_fmt = 'Instance %(instance_uuid)s is locked'


class ActionInProgress(Conflict):
    """The unique `busy` of the journal refused a second operation."""
    msg_fmt = "Cannot '%(method)s' instance %(instance_uuid)s: another operation is under way."


class GuestUndecided(Conflict):
    msg_fmt = ("Cannot '%(method)s' instance %(instance_uuid)s: on which of the two hosts of its live migration it is "
               'shows when one of them answers, and the move goes on by itself then. It can be deleted, or '
               'evacuated when both are down.')


class InstanceNotReady(Conflict):
    msg_fmt = 'Instance %(instance_id)s is not ready'


class InstanceNotRunning(Conflict):
    msg_fmt = 'Instance %(instance_id)s is not running.'


class InstanceAgentNotEnabled(Conflict):
    msg_fmt = 'Guest agent is not enabled for the instance'


class InstancePasswordSetFailed(Conflict):
    msg_fmt = 'Failed to set admin password on %(instance)s because %(reason)s'


class DevicePathInUse(Conflict):
    msg_fmt = 'The supplied device path (%(path)s) is in use.'


class FlavorExists(Conflict):
    msg_fmt = 'Flavor with name %(name)s already exists.'


class FlavorIdExists(Conflict):
    msg_fmt = 'Flavor with ID %(flavor_id)s already exists.'


class FlavorAccessExists(Conflict):
    msg_fmt = 'Flavor access already exists for flavor %(flavor_id)s and project %(project_id)s combination.'


class KeyPairExists(Conflict):
    msg_fmt = "Key pair '%(key_name)s' already exists."


class NetworkInUse(Conflict):
    msg_fmt = 'Network %(network_id)s is still in use.'


class NetworkExists(Conflict):
    msg_fmt = 'Network %(name)s conflicts with an existing one: %(reason)s'


class NetworkAmbiguous(Conflict):
    msg_fmt = 'Multiple possible networks found, use a Network ID to be more specific.'


class ImageInUse(Conflict):
    msg_fmt = 'Image %(image_id)s is in use.'


class TagLimitExceeded(Invalid):
    msg_fmt = 'The number of tags exceeded the per-server limit %(limit)d'


class InstanceQuiesceFailed(Conflict):
    msg_fmt = 'Failed to quiesce instance: %(reason)s'


# -- 500, 501, 503 ---------------------------------------------------------

class NoValidHost(ComputeException):
    msg_fmt = 'No valid host was found. %(reason)s'


class RescheduleExhausted(ComputeException):
    msg_fmt = ('Exceeded maximum number of retries. Exhausted all hosts available for '
               'retrying build failures for instance %(instance_uuid)s: %(reason)s')


class PortBindingFailed(ComputeException):
    """Neutron has nobody on that host who could plug the port: another host may have."""
    msg_fmt = 'Binding failed for port %(port_id)s, please check neutron logs for more information.'


class ServiceUnavailable(Unavailable):
    msg_fmt = 'Service is unavailable at this time.'


class ComputeServiceUnavailable(Unavailable):
    msg_fmt = 'Compute service of %(host)s is unavailable at this time.'


class NeighbourUnavailable(Unavailable):
    """Glance, Neutron, Cinder or Keystone does not answer, or only that it cannot. A flow asks again until the
    deadline of its step."""
    msg_fmt = 'The %(service)s service is not available: %(reason)s'


class Overdue(NeighbourUnavailable):
    """A request came to its host when its action had ended. A conductor that waits for it after all asks again."""
    msg_fmt = '%(verb)s of %(key)s came too late: its action does not wait for it any more.'


class HostDown(Unavailable):
    msg_fmt = 'Host %(host)s is down: its compute service has not reported since %(since)s.'


class ConfigurationError(ComputeException):
    """A daemon cannot start like this; the message says what to change."""
    msg_fmt = '%(reason)s'


# -- at a compute ----------------------------------------------------------

class StaleFence(Conflict):
    """An older claim of the action asks; a newer one has been here."""
    msg_fmt = 'Fence %(fence)s of %(key)s is older than %(current)s.'


class DiskFull(ComputeException):
    msg_fmt = 'No space left for %(what)s on this host.'


class ImageToolFailed(ComputeException):
    msg_fmt = 'qemu-img failed on %(what)s: %(reason)s'


class VolumeLost(ComputeException):
    msg_fmt = ('The file of volume %(volume_id)s is not on this host. Its operator must look whether '
               '[local_volumes] path is the same directory for all hosts.')


class DeviceNotAttached(ComputeException):
    msg_fmt = 'Device %(device)s cannot be attached: %(reason)s'


class DeviceNotReleased(ComputeException):
    msg_fmt = 'The guest does not let go of device %(device)s.'


class InternalError(ComputeException):
    msg_fmt = '%(reason)s'
