"""The append-only record of changes, and the chain of digests that seals it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

NAME_LENGTH, TEXT_LENGTH, REQUEST_ID_LENGTH, ADDRESS_LENGTH = 150, 500, 24, 45


class Event(models.Model):
    """A change that was done, refused or failed. No row is ever changed.

    It has no foreign keys: it outlives the rows that it names. `before` and `after` are small JSON
    objects without secrets. `count` is the number of equal events in this row. A text that is not
    known is empty, and such an id is null.
    """

    class Action(models.TextChoices):
        """Names of changes, by the kind of row that they change."""

        TUNNEL_ORDERED = "tunnel.ordered"
        TUNNEL_CANCELLED = "tunnel.cancelled"
        TUNNEL_EDITED = "tunnel.edited"
        TUNNEL_SUBNETS_CHANGED = "tunnel.subnets_changed"
        TUNNEL_TRANSLATIONS_CHANGED = "tunnel.translations_changed"
        TUNNEL_IMPORT_REQUESTED = "tunnel.import_requested"
        TUNNEL_APPLIED = "tunnel.applied"
        TUNNEL_TRIAL_ENDED = "tunnel.trial_ended"
        TUNNEL_TRIAL_TAKEN_BACK = "tunnel.trial_taken_back"
        TUNNEL_DISCARDED = "tunnel.discarded"
        TUNNEL_UNDONE = "tunnel.undone"
        TUNNEL_RESTORED = "tunnel.restored"
        TUNNEL_MOVED = "tunnel.moved"
        TUNNEL_CLAIMS_FREED = "tunnel.claims_freed"
        TUNNEL_CONNECT = "tunnel.connect"
        TUNNEL_DISCONNECT = "tunnel.disconnect"
        TUNNEL_RECONNECT = "tunnel.reconnect"
        TUNNEL_REKEY = "tunnel.rekey"
        TUNNEL_PROBE_STARTED = "tunnel.probe_started"
        TUNNEL_PROBE_USED = "tunnel.probe_used"
        TUNNEL_KEY_CHANGED = "tunnel.key_changed"
        TUNNEL_KEY_ROTATION_BEGUN = "tunnel.key_rotation_begun"
        TUNNEL_KEY_ROTATION_ENDED = "tunnel.key_rotation_ended"
        TUNNEL_KEY_ROTATION_CANCELLED = "tunnel.key_rotation_cancelled"
        TUNNEL_KEY_REVEALED = "tunnel.key_revealed"
        TUNNEL_PEER_CONFIG_DOWNLOADED = "tunnel.peer_config_downloaded"
        HELD_TUNNEL_KEPT = "held_tunnel.kept"
        HELD_TUNNEL_REPLACED = "held_tunnel.replaced"
        SUBNET_CREATED = "subnet.created"
        SUBNET_DELETED = "subnet.deleted"
        ACCOUNT_CREATED = "account.created"
        ACCOUNT_INVITED = "account.invited"
        ACCOUNT_INVITATION_ACCEPTED = "account.invitation_accepted"
        ACCOUNT_INVITATION_REVOKED = "account.invitation_revoked"
        ACCOUNT_MEMBER_ADDED = "account.member_added"
        ACCOUNT_MEMBER_ROLE_CHANGED = "account.member_role_changed"
        ACCOUNT_MEMBER_REMOVED = "account.member_removed"
        ACCOUNT_SETTINGS_CHANGED = "account.settings_changed"
        API_KEY_CREATED = "api_key.created"
        API_KEY_REVOKED = "api_key.revoked"
        CONCENTRATOR_ADDED = "concentrator.added"
        CONCENTRATOR_CHANGED = "concentrator.changed"
        CONCENTRATOR_REMOVED = "concentrator.removed"
        GATEWAY_JOINED = "gateway.joined"
        GATEWAY_REMOVED = "gateway.removed"
        GATEWAY_CERTIFICATE_RENEWED = "gateway.certificate_renewed"
        GATEWAY_KEY_CHANGED = "gateway.key_changed"
        GATEWAY_FORGOTTEN = "gateway.forgotten"
        USER_SIGNED_IN = "user.signed_in"
        USER_SIGN_IN_FAILED = "user.sign_in_failed"
        USER_SIGNED_OUT = "user.signed_out"
        USER_CREATED = "user.created"
        USER_CHANGED = "user.changed"
        USER_DELETED = "user.deleted"
        USER_PASSWORD_CHANGED = "user.password_changed"  # noqa: S105
        USER_SECOND_FACTOR_ADDED = "user.second_factor_added"
        USER_SECOND_FACTOR_REMOVED = "user.second_factor_removed"
        USER_IDENTITY_LINKED = "user.identity_linked"
        USER_IDENTITY_REMOVED = "user.identity_removed"
        USER_SESSION_ENDED = "user.session_ended"
        USER_BLOCKS_REMOVED = "user.blocks_removed"
        ADMIN_ADDED = "admin.added"
        ADMIN_CHANGED = "admin.changed"
        ADMIN_DELETED = "admin.deleted"
        PORTAL_RESTORED = "portal.restored"
        EVENTS_REMOVED = "events.removed"

    class Result(models.TextChoices):
        """The result of a change."""

        DONE = "done"
        REFUSED = "refused"
        FAILED = "failed"

    class ActorKind(models.TextChoices):
        """The kind of actor: a user, a program with an API key of a user, or a process."""

        USER = "user"
        API_KEY = "api_key"
        SYSTEM = "system"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now)
    action = models.CharField(max_length=64)
    result = models.CharField(max_length=8, choices=Result, default=Result.DONE)
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=NAME_LENGTH, blank=True)
    api_key_name = models.CharField(max_length=NAME_LENGTH, blank=True)
    account_id = models.BigIntegerField(null=True)
    account_name = models.CharField(max_length=NAME_LENGTH, blank=True)
    tunnel_id = models.BigIntegerField(null=True)
    tunnel_name = models.CharField(max_length=NAME_LENGTH, blank=True)
    concentrator_id = models.BigIntegerField(null=True)
    concentrator_name = models.CharField(max_length=NAME_LENGTH, blank=True)
    subject = models.CharField(max_length=NAME_LENGTH, blank=True)
    reason = models.CharField(max_length=TEXT_LENGTH, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    count = models.PositiveIntegerField(default=1)
    request_id = models.CharField(max_length=REQUEST_ID_LENGTH, blank=True)
    client_address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index("account_id", "id", name="events_by_account"),
            models.Index("tunnel_id", "id", name="events_by_tunnel"),
            models.Index("action", "id", name="events_by_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_name}"


class EventSeal(models.Model):
    """A link of the chain: the digest of an event and of the seal before, as 64 hex digits.

    Numbers are 1, 2, 3… without a gap. They follow the order in which the events became visible,
    which is not always that of their ids.
    """

    number = models.BigIntegerField(primary_key=True)
    event_id = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


class EventAnchor(models.Model):
    """Number and digest of the last seal of removed events, and the number of these events.

    The chain goes on from the newest anchor.
    """

    number = models.BigIntegerField(primary_key=True)
    digest = models.CharField(max_length=64)
    count = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"
