"""Add rotations of preshared keys."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

KEYS = [("old", "old"), ("new", "new")]


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("vpnportal", "0030_member_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyRotation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("began_at", models.DateTimeField(auto_now_add=True)),
                ("ends_at", models.DateTimeField(db_index=True)),
                ("signs_with", models.CharField(choices=KEYS, default="old", max_length=3)),
                ("loaded", models.CharField(blank=True, choices=KEYS, default="", max_length=3)),
                ("loaded_at", models.DateTimeField(null=True)),
                ("used", models.CharField(blank=True, choices=KEYS, default="", max_length=3)),
                ("used_at", models.DateTimeField(null=True)),
                (
                    "author",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tunnel",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="key_rotation",
                        to="vpnportal.tunnel",
                    ),
                ),
            ],
        ),
    ]
