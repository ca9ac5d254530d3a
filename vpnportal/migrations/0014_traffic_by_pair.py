"""The last hour is kept for each pair of subnets; of the one that runs nobody knows whose it was."""

from django.db import migrations, models


def begin_anew(apps, schema_editor):
    apps.get_model("vpnportal", "Traffic").objects.update(minutes={})
    apps.get_model("vpnportal", "Concentrator").objects.update(watched=[])


class Migration(migrations.Migration):
    dependencies = [
        ("vpnportal", "0013_answers_only"),
    ]

    operations = [
        migrations.AlterField(
            model_name="traffic",
            name="minutes",
            field=models.JSONField(default=dict),
        ),
        migrations.RunPython(begin_anew, migrations.RunPython.noop),
    ]
