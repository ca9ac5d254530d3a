"""Give each tunnel a number that is unique at its concentrator, and add Translated access only."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

TABLES = ("AddressRelease", "Revision", "Tunnel", "TunnelMark")
HOLDING = ("queued", "applying", "live", "fallback")
LARGEST = 65_535


def number_tunnels(apps: Any, schema_editor: Any) -> None:
    """Write a mark for each tunnel at each concentrator that holds it or reserves its address."""
    tables = {name: apps.get_model("vpnportal", name).objects for name in TABLES}
    places = {
        *tables["Tunnel"].filter(cancelled_at=None).values_list("concentrator", "pk"),
        *tables["AddressRelease"].filter(released_at=None).values_list("concentrator", "tunnel"),
        *tables["Revision"].filter(outcome__in=HOLDING).values_list("concentrator", "tunnel"),
    }
    numbers: defaultdict[int, Iterator[int]] = defaultdict(lambda: count(1))
    mark = apps.get_model("vpnportal", "TunnelMark")
    rows = [
        mark(concentrator_id=concentrator, tunnel_id=tunnel, number=next(numbers[concentrator]))
        for concentrator, tunnel in sorted(places)
    ]
    # A tunnel that no number is left for gets its mark at its next apply.
    tables["TunnelMark"].bulk_create([row for row in rows if row.number <= LARGEST], batch_size=500)
    for name, tunnel in (("Tunnel", "pk"), ("Revision", "tunnel")):
        held = tables["TunnelMark"].filter(
            concentrator=OuterRef("concentrator"), tunnel=OuterRef(tunnel)
        )
        tables[name].update(mark=Coalesce(Subquery(held.values("number")), 0))


def empty_digests(apps: Any, schema_editor: Any) -> None:
    """Empty the digests, which cover the new field; `manage.py digests` fills them again."""
    apps.get_model("vpnportal", "Tunnel").objects.update(draft_digest="")
    apps.get_model("vpnportal", "Revision").objects.update(digest="")


class Migration(migrations.Migration):
    dependencies = [
        ("vpnportal", "0016_plain_names"),
    ]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="mark",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="tunnel",
            name="mark",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="tunnel",
            name="translated_only",
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name="TunnelMark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("released_at", models.DateTimeField(null=True)),
                (
                    "concentrator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="marks",
                        to="vpnportal.concentrator",
                    ),
                ),
                (
                    "tunnel",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="marks",
                        to="vpnportal.tunnel",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("concentrator"), models.F("number"), name="one_tunnel_per_mark"
                    ),
                    models.UniqueConstraint(
                        models.F("concentrator"),
                        models.F("tunnel"),
                        condition=models.Q(("released_at__isnull", True)),
                        name="one_live_mark_per_tunnel",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number__gte", 1), ("number__lte", 65535)),
                        name="marks_are_16_bits",
                    ),
                ],
            },
        ),
        migrations.RunPython(number_tunnels, migrations.RunPython.noop),
        migrations.RunPython(empty_digests, empty_digests),
    ]
