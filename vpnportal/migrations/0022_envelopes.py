"""Record the public key of each gateway, and the draft in each probe of a peer.

A gateway of the release before does not know the columns, so the database has their defaults.
"""

from django.db import migrations, models

import vpnportal.fields


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0021_reports")]

    operations = [
        migrations.AddField(
            model_name="concentrator",
            name="envelope_key",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=44
            ),
        ),
        migrations.AddField(
            model_name="peerprobe",
            name="specification",
            field=vpnportal.fields.SealedField(
                blank=True, db_default=models.Value(""), default=vpnportal.fields.Sealed
            ),
        ),
    ]
