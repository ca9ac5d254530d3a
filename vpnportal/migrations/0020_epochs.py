"""Epochs of concentrators, and the tunnels that a restore leaves to an operator's choice.

All columns are empty before the first restore, so a gateway of the version before works as it did.
"""

import django.db.models.deletion
from django.db import migrations, models

import vpnportal.fields


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0019_ended_claims")]

    operations = [
        migrations.AddField(
            model_name="concentrator",
            name="compared_epoch",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="concentrator",
            name="epoch",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="concentrator",
            name="restored_from",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name="HeldTunnel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("tunnel_id", models.PositiveBigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("changed", "Other settings"),
                            ("unknown", "Not in the backup"),
                            ("removed", "Removed after the backup"),
                        ],
                        max_length=7,
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                (
                    "specification",
                    vpnportal.fields.SealedField(blank=True, default=vpnportal.fields.Sealed),
                ),
                ("mark", models.PositiveIntegerField(default=0)),
                ("account_id", models.PositiveBigIntegerField(null=True)),
                ("name", models.CharField(blank=True, max_length=20)),
                ("hosted_peer", models.GenericIPAddressField(null=True, protocol="IPv4")),
                ("static_nat", models.JSONField(default=list)),
                ("remote", models.JSONField(default=list)),
                ("found_at", models.DateTimeField(auto_now_add=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "concentrator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="held_tunnels",
                        to="vpnportal.concentrator",
                    ),
                ),
            ],
            options={"ordering": ["name", "tunnel_id", "concentrator"]},
        ),
        migrations.AddConstraint(
            model_name="heldtunnel",
            constraint=models.UniqueConstraint(
                models.F("concentrator"),
                models.F("tunnel_id"),
                name="one_held_tunnel_per_gateway",
            ),
        ),
    ]
