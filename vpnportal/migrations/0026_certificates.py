"""Record the end of each gateway's certificate.

A gateway of the release before does not know the column, so the database has its default.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0025_translation_import")]

    operations = [
        migrations.AddField(
            model_name="concentrator",
            name="certificate_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
