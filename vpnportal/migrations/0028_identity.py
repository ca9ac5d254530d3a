"""Skeletons of user names, and counters of attempts."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from vpnportal.user_names import skeleton_of


def fill(apps, schema_editor):
    """Give each user a skeleton; of users with equal ones, the oldest gets it."""
    alias = schema_editor.connection.alias
    users = apps.get_model("auth", "User").objects.using(alias)
    identities = apps.get_model("vpnportal", "UserIdentity").objects.using(alias)
    taken = set()
    for pk, name in users.order_by("pk").values_list("pk", "username"):
        skeleton = skeleton_of(name)
        identities.create(user_id=pk, name_skeleton=None if skeleton in taken else skeleton)
        taken.add(skeleton)


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("vpnportal", "0027_events"),
    ]

    operations = [
        migrations.CreateModel(
            name="UserIdentity",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="identity",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("name_skeleton", models.CharField(max_length=600, null=True, unique=True)),
                ("failed_sign_ins", models.PositiveIntegerField(default=0)),
                ("failed_before", models.PositiveIntegerField(default=0)),
                ("email_asked_at", models.DateTimeField(null=True)),
            ],
            options={"verbose_name_plural": "user identities"},
        ),
        migrations.CreateModel(
            name="AttemptCounter",
            fields=[
                ("key", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("count", models.PositiveIntegerField(default=0)),
                ("at", models.DateTimeField()),
                ("blocked_until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="LimitEntry",
            fields=[
                ("key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("value", models.JSONField()),
                ("ends_at", models.DateTimeField(db_index=True)),
                ("writer", models.UUIDField(null=True)),
            ],
            options={"verbose_name_plural": "limit entries"},
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
