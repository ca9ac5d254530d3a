"""Add a narrow row for each tunnel, which triggers keep, and indexes for the search.

The triggers write the rows after the last migration (`deployment.summary_triggers`).
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def column_of(table: str) -> Any:
    """Return a foreign key without a constraint and without an index of its own."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to=f"vpnportal.{table}",
    )


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0022_envelopes")]

    operations = [
        migrations.CreateModel(
            name="TunnelSummary",
            fields=[
                (
                    "tunnel",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="summary",
                        serialize=False,
                        to="vpnportal.tunnel",
                    ),
                ),
                ("rank", models.PositiveSmallIntegerField()),
                ("is_changed", models.BooleanField()),
                ("applied_at", models.DateTimeField(null=True)),
                ("name_key", models.CharField(max_length=22)),
                ("friendly_key", models.CharField(max_length=80, null=True)),
                ("hosted_number", models.BigIntegerField()),
                ("remote_number", models.BigIntegerField(null=True)),
                ("names", models.TextField()),
                ("peers", models.CharField(max_length=34)),
                ("account", column_of("account")),
                ("concentrator", column_of("concentrator")),
                ("reported_by", column_of("concentrator")),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.F("name_key"), models.F("tunnel"), name="summaries_by_name"
                    ),
                    models.Index(
                        models.F("account"),
                        models.F("name_key"),
                        models.F("tunnel"),
                        name="summaries_by_account",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="addresstranslation",
            index=models.Index("internal_address", name="translations_by_internal"),
        ),
        migrations.AddIndex(
            model_name="addresstranslation",
            index=models.Index("customer_address", name="translations_by_customer"),
        ),
    ]
