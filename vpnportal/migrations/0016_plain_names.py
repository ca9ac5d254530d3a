"""Rename models, columns and reverse relations to the terms of the field; all rows stay."""

import re
from collections.abc import Iterable
from typing import Any

from django.db import migrations, models

MODELS = {
    "Wish": "TunnelCommand",
    "Question": "PeerProbe",
    "Hearing": "DiagnosticLog",
    "Repair": "DriftRepair",
    "LastUsed": "TranslationUsage",
    "Departure": "AddressRelease",
    "SetAside": "DraftBackup",
    "Pool": "AddressPool",
}


def rename_permissions(apps: Any, names: Iterable[tuple[str, str]]) -> None:
    """Rename the permissions of the models: operators and their groups hold them."""
    permissions = apps.get_model("auth", "Permission").objects
    for old, new in names:
        for action in ("add", "change", "delete", "view"):
            permissions.filter(
                content_type__app_label="vpnportal", codename=f"{action}_{old.lower()}"
            ).update(codename=f"{action}_{new.lower()}", name=f"Can {action} {words_of(new)}")


def words_of(model: str) -> str:
    """Return the verbose name that Django gives a model."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model).lower()


def rename_to_new(apps: Any, schema_editor: Any) -> None:
    rename_permissions(apps, MODELS.items())


def rename_to_old(apps: Any, schema_editor: Any) -> None:
    rename_permissions(apps, [(new, old) for old, new in MODELS.items()])


def renamed(model: str, **fields: str) -> list[migrations.RenameField]:
    return [migrations.RenameField(model, old, new) for old, new in fields.items()]


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0015_api_keys")]

    operations = [
        *(migrations.RenameModel(old, new) for old, new in MODELS.items()),
        migrations.RunPython(rename_to_new, rename_to_old),
        *renamed("TunnelCommand", asked_at="requested_at"),
        *renamed("DiagnosticLog", facts="anomalies"),
        # A condition is text to RenameField: the constraint goes first and comes back.
        migrations.RemoveConstraint("AddressRelease", "one_open_departure_per_hosted_peer"),
        *renamed("AddressRelease", asked_at="requested_at", gone_at="released_at"),
        migrations.AddConstraint(
            "AddressRelease",
            models.UniqueConstraint(
                "hosted_peer",
                condition=models.Q(released_at__isnull=True),
                name="one_open_release_per_hosted_peer",
            ),
        ),
        *renamed(
            "Tunnel",
            held_at="disconnected_at",
            held_by="disconnected_by",
            association="sa_status",
            association_at="sa_status_at",
        ),
        *renamed(
            "Revision",
            keep_seconds="trial_seconds",
            keep_ping="trial_ping",
            answers_only="responder_only",
            up_at="first_up_at",
            restores="restored_number",
        ),
        *renamed(
            "Concentrator",
            watched="observed_minutes",
            foreign="foreign_connections",
            dropped="drop_counters",
        ),
        # Reverse names live in Django's state: no SQL runs for these.
        migrations.AlterField(
            "AddressRelease",
            "concentrator",
            models.ForeignKey("vpnportal.Concentrator", models.PROTECT, related_name="releases"),
        ),
        migrations.AlterField(
            "AddressRelease",
            "tunnel",
            models.ForeignKey("vpnportal.Tunnel", models.PROTECT, related_name="releases"),
        ),
        migrations.AlterField(
            "DiagnosticLog",
            "tunnel",
            models.OneToOneField("vpnportal.Tunnel", models.CASCADE, related_name="diagnostic_log"),
        ),
        migrations.AlterField(
            "DraftBackup",
            "tunnel",
            models.OneToOneField("vpnportal.Tunnel", models.CASCADE, related_name="draft_backup"),
        ),
        migrations.AlterField(
            "PeerProbe",
            "tunnel",
            models.ForeignKey("vpnportal.Tunnel", models.CASCADE, related_name="peer_probes"),
        ),
        migrations.AlterField(
            "TranslationUsage",
            "tunnel",
            models.OneToOneField(
                "vpnportal.Tunnel", models.CASCADE, related_name="translation_usage"
            ),
        ),
        migrations.AlterField(
            "TunnelCommand",
            "tunnel",
            models.ForeignKey("vpnportal.Tunnel", models.CASCADE, related_name="commands"),
        ),
        # The labels of choices are in Django's state only, too. Stored values stay.
        migrations.AlterField(
            "Revision",
            "outcome",
            models.CharField(
                max_length=9,
                default="queued",
                choices=[
                    ("queued", "Queued"),
                    ("applying", "Applying"),
                    ("live", "Live"),
                    ("failed", "Failed"),
                    ("replaced", "Replaced"),
                    ("fallback", "Kept as fallback"),
                    ("withdrawn", "Rolled back"),
                ],
            ),
        ),
        migrations.AlterField(
            "Tunnel",
            "sa_status",
            models.CharField(
                max_length=10,
                blank=True,
                choices=[
                    ("up", "Up"),
                    ("older", "Up – settings out of date"),
                    ("partial", "Degraded"),
                    ("connecting", "Connecting"),
                    ("down", "Down"),
                ],
            ),
        ),
        migrations.AlterField(
            "Tunnel",
            "starts",
            models.CharField(
                max_length=6,
                default="either",
                choices=[("either", "both"), ("other", "peer only")],
            ),
        ),
        migrations.AlterField(
            "TunnelCommand",
            "kind",
            models.CharField(
                max_length=10,
                choices=[
                    ("connect", "Connect"),
                    ("disconnect", "Disconnect"),
                    ("rekey", "Rekey"),
                    ("reconnect", "Reconnect"),
                ],
            ),
        ),
    ]
