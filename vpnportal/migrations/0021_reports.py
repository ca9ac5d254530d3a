"""Record the release of each gateway and its last full converge.

A gateway of the release before does not know the columns, so the database has their defaults.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0020_epochs")]

    operations = [
        migrations.AddField(
            model_name="concentrator",
            name="release",
            field=models.CharField(blank=True, db_default="", default="", max_length=40),
        ),
        migrations.AddField(
            model_name="concentrator",
            name="converged_at",
            field=models.DateTimeField(null=True),
        ),
    ]
