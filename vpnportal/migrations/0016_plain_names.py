"""Rename models, columns and reverse relations to the terms of the field. No row moves."""

from django.db import migrations, models


def renamed(model: str, **fields: str) -> list[migrations.RenameField]:
    return [migrations.RenameField(model, old, new) for old, new in fields.items()]


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0015_api_keys")]

    operations = [
        migrations.RenameModel("Wish", "TunnelCommand"),
        migrations.RenameModel("Question", "PeerProbe"),
        migrations.RenameModel("Hearing", "DiagnosticLog"),
        migrations.RenameModel("Repair", "DriftRepair"),
        migrations.RenameModel("LastUsed", "TranslationUsage"),
        migrations.RenameModel("Departure", "AddressRelease"),
        migrations.RenameModel("SetAside", "DraftBackup"),
        migrations.RenameModel("Pool", "AddressPool"),
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
